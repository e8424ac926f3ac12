"""How fast pre-training is: the whole loop from shards against the full step, and that against the bare backbone;
and how much faster than the loop validation and evaluation are.

Run: python -m perf.pretrain [--method medfilip]. The defaults are the papers' scale, with batches of 64 on a GPU and of
16 on a CPU, where seconds are of the process's own CPU time per thread, so that other work does not count. On a GPU the
step is replayed as a CUDA graph, as in the loop, and the backbone is measured both so and as PyTorch launches it. Of
MedFILIP it also says what the frozen text model's semantic similarity adds to a step.
"""

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import polars as pl
import torch
import typer
from lightning.fabric import Fabric
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import BertConfig

from pipeline.evaluation.scorer import MeDSLIPScorer, Prompts
from pipeline.images.shards import ImageShards, build_shards
from pipeline.losses.medfilip import ITMConfig
from pipeline.losses.medslip import LossConfig
from pipeline.networks.medfilip import MedFILIP, MedFILIPConfig
from pipeline.networks.medslip import MeDSLIPConfig
from pipeline.training.augmentation import DRAWS, AugmentConfig
from pipeline.training.data import Batch, Examples, Gatherer, Rows, Share
from pipeline.training.loop import TrainConfig, pretrain
from pipeline.training.medfilip import LabelTexts, MedFILIPMethod
from pipeline.training.medslip import MeDSLIPMethod, Queries
from pipeline.training.method import Method
from pipeline.training.step_graphs import Step, StepGraphs
from stages.determinism import deterministic_torch

SMALL: dict[str, Any] = {"block": "basic", "depths": (1, 2, 2), "widths": (32, 64, 128), "stem": 32, "channels": 1}
BACKBONES: dict[str, dict[str, Any]] = {"resnet50": {}, "demo": SMALL}  # beside the paper's settings
PATHOLOGIES, ANATOMIES = 75, 50
ENTRIES = 12  # mentioned pairs of a study
TEXTS, LENGTHS = 3000, (12, 48)  # MedFILIP's structured labels, their tokens from and to
LISTED = 6  # labels of each kind that an image lists at most
STORED = 1024  # images in the shards
REPEATED = 1000  # times that they make up the epoch, so that it does not end while we look
ASKED = 14  # findings that an evaluation asks of each image, as those of ChestX-ray14
BARS = {
    "full step / bare backbone": 0.80,
    "whole loop / full step": 0.90,
    "validation / whole loop": 2.0,
    "evaluation / whole loop": 2.0,
}
LARGEST_WAIT = 0.05
GPU_BAR = 2800  # images/s of the whole loop on an H200-class GPU


class Matrices:
    """Random existence matrices, as many as there are images."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.matrices = torch.full((STORED, (ANATOMIES + 1) * PATHOLOGIES), -1, dtype=torch.int8)
        cells = torch.randint(self.matrices.shape[1], (STORED, ENTRIES), generator=generator)
        self.matrices.scatter_(1, cells, torch.randint(0, 3, cells.shape, generator=generator, dtype=torch.int8))

    def gather(self, rows: Rows) -> Tensor:
        """int8 [n, N_a, N_p]."""
        return self.matrices[torch.from_numpy(rows)].view(len(rows), ANATOMIES + 1, PATHOLOGIES)


class Lists:
    """Random structured labels of images: some fine-grained ones with their categories, and some categories denied."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        fine = torch.randint(PATHOLOGIES, TEXTS, (STORED, LISTED), generator=generator)
        nothing = torch.full_like(fine, -1)
        plain, denied = fine % PATHOLOGIES, torch.randint(PATHOLOGIES, fine.shape, generator=generator)
        self.labels = torch.stack([fine, nothing, plain, nothing, denied], dim=1)

    def gather(self, rows: Rows) -> Tensor:
        """int64 [n, 5, K]."""
        return self.labels[torch.from_numpy(rows)]


class EnoughError(Exception):
    """Ends the measured training."""


def main(
    method: Annotated[str, typer.Option(help="medslip or medfilip")] = "medslip",
    backbone: Annotated[str, typer.Option(help=" or ".join(BACKBONES))] = "resnet50",
    size: Annotated[int, typer.Option(help="pixels; 0: the paper's")] = 0,
    batch: Annotated[int, typer.Option(help="0: 64 on a GPU, 16 on a CPU")] = 0,
    seconds: Annotated[float, typer.Option(help="of each measurement")] = 20.0,
    precision: Annotated[str, typer.Option(help="32-true or bf16-mixed")] = "bf16-mixed",
    compiled: Annotated[bool, typer.Option(help="torch.compile; pays on a GPU")] = torch.cuda.is_available(),
) -> None:
    """Print images/s of the bare backbone, the full step and the whole loop, their ratios, and what limits them."""
    batch = batch or (64 if torch.cuda.is_available() else 16)
    size = size or {"medslip": 224, "medfilip": 448}[method]
    trained, labels = (_medslip if method == "medslip" else _medfilip)(backbone)
    deterministic_torch(seed=0, threads=torch.get_num_threads())
    fabric = Fabric(accelerator="auto", devices=1, precision=precision)  # type: ignore[arg-type]
    trained.to(fabric.device)
    print(f"{method}, {backbone}, {size} px, batch {batch}, {precision}, {_device()}")
    bare = batch / _time(_backbone_step(trained, size, batch, fabric, compiled), seconds)
    print(f"bare backbone, forward and backward: {bare:.1f} images/s")
    if fabric.device.type == "cuda":
        kernels = batch / _time(_backbone_step(trained, size, batch, fabric, compiled, replayed=True), seconds)
        print(f"bare backbone, replayed as a graph: {kernels:.1f} images/s")
    step = batch / _time(_full_step(trained, labels, size, batch, fabric, compiled), seconds)
    print(f"full step: {step:.1f} images/s")
    if isinstance(trained, MedFILIPMethod):
        frozen = _time(_similarity(trained, labels, batch), min(seconds, 2.0))
        print(f"semantic similarity of the frozen text model: {frozen * step / batch:.2%} of the full step")
    loop, wait = _whole_loop(trained, labels, size, batch, seconds, fabric, compiled)
    print(f"whole loop, from shards with augmentation: {loop:.1f} images/s, {wait:.1%} of it waiting for the loader")
    validation = _validation(trained, labels, size, batch, seconds, fabric, compiled)
    print(f"validation, from shards: {validation:.1f} images/s")
    ratios = [step / bare, loop / step, validation / loop]
    if isinstance(trained, MeDSLIPMethod):
        evaluation = batch / _time(_asked(trained, size, batch, fabric), seconds)
        print(f"evaluation, in float32 and not compiled: {evaluation:.1f} images/s")
        ratios.append(evaluation / loop)
    for name, ratio in zip(BARS, ratios, strict=False):
        print(f"{name}: {ratio:.2f} (bar {BARS[name]:.2f}: {'reached' if ratio >= BARS[name] else 'missed'})")
    print(f"loader wait: {wait:.1%} (bar {LARGEST_WAIT:.0%}: {'reached' if wait < LARGEST_WAIT else 'missed'})")
    print(f"peak memory: {_peak_memory() / 2**30:.2f} GiB")
    if torch.cuda.is_available():
        _print_gpu(trained, labels, size, loop, fabric)


def _medslip(backbone: str) -> tuple[MeDSLIPMethod, Matrices]:
    narrow = {"text_size": 256, "hidden_size": 128, "layers": 2, "feed_forward": 256, "dropout": 0.0}
    config = MeDSLIPConfig(**BACKBONES[backbone], **(narrow if backbone == "demo" else {}))
    return MeDSLIPMethod(config, LossConfig(), _queries(config), AugmentConfig(), seed=0), Matrices()


def _medfilip(backbone: str) -> tuple[MedFILIPMethod, Lists]:
    """With a text transformer of BERT's size, as in the paper, or of a quarter of its width and two layers."""
    small = {"hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512}
    text = BertConfig(**(small if backbone == "demo" else {})).to_dict()
    config = MedFILIPConfig(text=text, **BACKBONES[backbone], embed=text["hidden_size"])
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(*LENGTHS, (TEXTS,), generator=generator)
    tokens = torch.randint(1, text["vocab_size"], (TEXTS, LENGTHS[1]), generator=generator)
    tokens[torch.arange(LENGTHS[1]) >= lengths[:, None]] = text["pad_token_id"]
    vectors = nn.functional.normalize(torch.randn(TEXTS, text["hidden_size"], generator=generator))
    plain, categories = torch.arange(TEXTS) % PATHOLOGIES, tuple(map(str, range(PATHOLOGIES)))
    texts = LabelTexts(categories, tokens, lengths, vectors, plain, torch.arange(TEXTS))
    weights = MedFILIP(config).text.state_dict()
    return MedFILIPMethod(config, ITMConfig(), texts, AugmentConfig("none"), weights, Path()), Lists()


def _backbone_step(
    method: Method, size: int, batch: int, fabric: Fabric, compiled: bool, replayed: bool = False
) -> Callable[[], None]:
    """Forward and backward of the image encoder alone."""
    backbone = method.network().backbone
    assert isinstance(backbone, nn.Module)
    model = _set_up(backbone, fabric, compiled)

    def gradients(batches: Sequence[Batch]) -> Tensor:
        loss = model(batches[0].images).square().mean()
        fabric.backward(loss)
        return loss.detach()

    images = _images(size, batch, fabric)
    return _stepper(gradients, model, Batch(images, images, {}), replayed)


def _full_step(
    method: Method, labels: Gatherer, size: int, batch: int, fabric: Fabric, compiled: bool
) -> Callable[[], None]:
    """What the loop does with a batch that is already augmented."""
    model = _set_up(method.network(), fabric, compiled)
    collated, draws = _collated(method, labels, batch)
    weights = method.weights()

    def gradients(batches: Sequence[Batch]) -> Tensor:
        targets = method.targets(batches[0].labels, batches[0].draws)
        loss = method.loss_terms(model, batches[0].images, targets, targets.counts()) @ weights
        fabric.backward(loss)
        return loss.detach()

    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    replayed = fabric.device.type == "cuda"
    return _stepper(gradients, model, Batch(_images(size, batch, fabric), draws, collated), replayed, optimizer)


def _stepper(
    gradients: Step, model: nn.Module, batch: Batch, replayed: bool, optimizer: Optimizer | None = None
) -> Callable[[], None]:
    """A step on one batch again and again."""
    parameters = list(model.parameters())
    taken = StepGraphs(gradients, parameters) if replayed else gradients

    def step() -> None:
        taken([batch])
        if optimizer is not None:
            optimizer.step()
        for parameter in parameters:
            parameter.grad = None

    return step


def _similarity(method: MedFILIPMethod, labels: Gatherer, batch: int) -> Callable[[], object]:
    """What a step asks of the frozen text model's vectors."""
    collated, draws = _collated(method, labels, batch)
    return lambda: method.targets(collated, draws)


def _collated(method: Method, labels: Gatherer, batch: int) -> tuple[dict[str, Tensor], Tensor]:
    """A batch's labels and the draws of its augmentation, on the training device."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(batch, DRAWS, generator=generator)
    found = method.collate(Share(labels, np.arange(batch), slice(0, batch), draws, generator))
    device = method.weights().device
    return {name: tensor.to(device) for name, tensor in found.items()}, draws.to(device)


def _whole_loop(
    method: Method, labels: Gatherer, size: int, batch: int, seconds: float, fabric: Fabric, compiled: bool
) -> tuple[float, float]:
    """Images/s and the fraction of time waiting, of `pretrain` with the method's augmentation after a warm-up."""
    seen: list[tuple[float, int, float]] = []  # when, steps done, loader wait

    def log(metrics: Mapping[str, float], step: int) -> None:
        if "loader_wait" in metrics:
            seen.append((_now(), step, metrics["loader_wait"]))
        if seen[-1][0] - seen[0][0] > seconds:
            raise EnoughError

    # about 4 s a look on a CPU with ResNet-50, well under one on a GPU
    settings = TrainConfig(
        epochs=100, batch=batch, compile=compiled, checkpoint_every=10**9,
        log_every=50 if fabric.device.type == "cuda" else 4,
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        examples = _examples(Path(folder), size, labels, np.tile(np.arange(STORED), REPEATED))
        few = replace(examples, image_rows=np.arange(batch), label_rows=np.arange(batch))
        with suppress(EnoughError):
            pretrain(method, settings, examples, few, Path(folder), Path(folder) / "checkpoints", log, fabric)
    times, steps, waits = np.array(seen).T  # the first look ends the warm-up
    return batch * (steps[-1] - steps[0]) / (times[-1] - times[0]), float(waits[1:].mean())


def _validation(
    method: Method, labels: Gatherer, size: int, batch: int, seconds: float, fabric: Fabric, compiled: bool
) -> float:
    """Images/s of the loop's validation."""
    model, images = _set_up(method.network(), fabric, compiled), batch * (16 if torch.cuda.is_available() else 4)
    with TemporaryDirectory() as folder:
        examples = _examples(Path(folder), size, labels, np.arange(images) % STORED)
        return images / _time(lambda: method.validate(model, examples, batch, fabric), seconds)


def _asked(method: MeDSLIPMethod, size: int, batch: int, fabric: Fabric) -> Callable[[], object]:
    """A benchmark's findings asked of a batch, as the evaluation stages do."""
    network = method.network().to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    scorer = MeDSLIPScorer(network, _prompts(method.model)[0])
    vectors = torch.randn(ASKED, method.model.text_size, generator=torch.Generator().manual_seed(1))
    prompts = Prompts(tuple(map(str, range(ASKED))), vectors)
    images = torch.randint(0, 256, (batch, size, size), dtype=torch.uint8)
    return lambda: scorer.score(images.clone(), prompts)  # it would know the same tensor again


def _examples(folder: Path, size: int, labels: Gatherer, rows: NDArray[np.int64]) -> Examples:
    return Examples(_shards(folder, size), rows, labels, rows)


def _shards(folder: Path, size: int) -> ImageShards:
    generator = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(STORED)]
    for name in names:
        Image.fromarray(generator.integers(0, 256, (size, size), dtype=np.uint8)).save(folder / name, compress_level=0)
    images = pl.DataFrame({"image_id": names, "path": names, "bytes": list(range(STORED))})
    images = images.with_columns(pl.lit("").alias(name) for name in ("study_id", "patient_id", "split"))
    build_shards(images, folder, folder / "shards", size=size, workers=1, max_broken=0, cache=folder / "cache")
    return ImageShards(folder / "shards")


def _set_up(network: nn.Module, fabric: Fabric, compiled: bool) -> nn.Module:
    placed: nn.Module = network.train().to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ready: nn.Module = fabric.setup(torch.compile(placed) if compiled else placed)
    return ready


def _images(size: int, batch: int, fabric: Fabric) -> Tensor:
    return torch.rand(batch, 1, size, size, device=fabric.device)


def _prompts(config: MeDSLIPConfig) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = (PATHOLOGIES, ANATOMIES + 1)
    pathologies, anatomies = (torch.randn(number, config.text_size, generator=generator) for number in sizes)
    return pathologies, anatomies


def _queries(config: MeDSLIPConfig) -> Queries:
    pathologies, anatomies = (
        tuple(f"{kind} {number}" for number in range(count))
        for kind, count in (("pathology", PATHOLOGIES), ("anatomy", ANATOMIES + 1))
    )
    return Queries(pathologies, anatomies, *_prompts(config))


def _time(step: Callable[[], object], seconds: float) -> float:
    """Seconds per call, after three that warm up."""
    for _ in range(3):
        step()
    _wait()
    start, calls = _now(), 0
    while _now() - start < seconds:
        step()
        calls += 1
        if calls % 10 == 0:
            _wait()
    _wait()
    return (_now() - start) / calls


def _now() -> float:
    """Seconds: of the clock beside a GPU, else of this process's CPU time per thread."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time() / torch.get_num_threads()


def _print_gpu(method: Method, labels: Gatherer, size: int, loop: float, fabric: Fabric) -> None:
    """The bar for GPUs, and how much of the measured bf16 matrix rate the loop's arithmetic is."""
    a = torch.randn(8192, 8192, device=fabric.device, dtype=torch.bfloat16)
    rate = 2 * 8192**3 / _time(lambda: torch.mm(a, a), 2.0)
    used = loop * _operations(method, labels, size, fabric)
    print(f"arithmetic: {used / 1e12:.0f} of {rate / 1e12:.0f} TFLOP/s measured for bf16 products ({used / rate:.1%})")
    print(f"whole loop on an H200-class GPU: bar {GPU_BAR} images/s: {'reached' if loop >= GPU_BAR else 'missed'}")


def _operations(method: Method, labels: Gatherer, size: int, fabric: Fabric) -> float:
    """Floating point operations of one image's part of a step, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    step = _full_step(method, labels, size, 8, fabric, compiled=False)  # its first call is never a replayed one
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 8


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} threads of a CPU"


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _peak_memory() -> float:
    """Bytes: the device's on a GPU, the process's on a CPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    typer.run(main)
