"""The processes of a training: devices, precision, and batch normalisation over all of them.

One process and many take the same path; what differs is decided here and by Lightning Fabric.
"""

import logging
import os
import warnings
from typing import Any, Literal

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import Tensor, nn

Precision = Literal["32-true", "bf16-mixed"]


def launch(devices: int | Literal["auto"], nodes: int, precision: Precision) -> Fabric:
    """Start the processes, or join those that `torchrun` or SLURM's `srun` started: on GPUs where there are any.

    Args:
        devices: processes per node, "auto" for every GPU or one CPU process; of started ones their number counts.
        nodes: number of machines, likewise.
        precision: "bf16-mixed" runs matrix products and convolutions in bfloat16, weights stay float32.
    """
    for package in ("lightning.fabric", "lightning.pytorch"):  # Fabric logs through either
        logging.getLogger(package).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*srun.*")  # offered wherever SLURM is installed
    warnings.filterwarnings("ignore", message=".*torch.distributed.nn.functional.all_gather is deprecated.*")
    started = _started()
    if started != (1, 1):
        devices, nodes = started
    strategy = "auto" if devices in (1, "auto") and nodes == 1 else "ddp"
    fabric = Fabric(accelerator="auto", devices=devices, num_nodes=nodes, strategy=strategy, precision=precision)
    fabric.launch()
    return fabric


def _started() -> tuple[int, int]:
    """Processes per node and nodes that a launcher says it has started; one of each without a launcher."""
    if TorchElasticEnvironment.detect():
        per_node, total = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        return per_node, total // per_node
    if SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        return int(os.environ["SLURM_NTASKS"]) // nodes, nodes
    return 1, 1


def over_processes(fabric: Fabric, tensor: Tensor, how: Literal["mean", "sum"]) -> Tensor:
    """The mean or sum of a tensor that every process holds."""
    reduced = fabric.all_reduce(tensor, reduce_op=how)
    assert isinstance(reduced, Tensor)
    return reduced


def share_batch_norm(model: nn.Module, fabric: Fabric) -> nn.Module:
    """Have batch normalisation use the statistics of all processes' batches; nothing changes for one process."""
    if fabric.world_size == 1:
        return model
    if fabric.device.type == "cuda":
        shared: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return shared
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
    return model


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over all processes for CPUs, where torch's SyncBatchNorm does not run.

    Every process must hold the same number of images.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, C, H, W] by the mean and variance per channel over all processes, in float32."""
        if not self.training:
            return super().forward(x)
        values = x.float()
        moments = torch.stack([values.mean((0, 2, 3)), values.square().mean((0, 2, 3))])
        mean, square = _Sum.apply(moments) / torch.distributed.get_world_size()  # type: ignore[no-untyped-call]
        variance = (square - mean.square()).clamp(min=0)  # rounding takes that of a constant below
        self._track(mean.detach(), variance.detach(), x.numel() // x.shape[1] * torch.distributed.get_world_size())
        scale = self.weight * (variance + self.eps).rsqrt()
        normalised: Tensor = values * scale.view(1, -1, 1, 1) + (self.bias - mean * scale).view(1, -1, 1, 1)
        return normalised.to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, number: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * number / (number - 1), self.momentum)


class _Sum(torch.autograd.Function):
    """The sum over processes. Each process's loss depends on it, so gradients are summed too."""

    @staticmethod
    def forward(_context: Any, own: Tensor) -> Tensor:
        total = own.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total
