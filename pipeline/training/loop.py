"""The pre-training loop: one path for a CPU, a GPU, several of them and several machines.

A resumed run repeats an uninterrupted one (bit for bit on a CPU), because all randomness follows from the seed and
the step. The loop measures and reports through a callback; it writes models and checkpoints, no metrics.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal, cast

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts, LinearLR, LRScheduler, SequentialLR

from pipeline.errors import TrainingError
from pipeline.training.augmentation import augment
from pipeline.training.checkpoints import load_checkpoint, save_checkpoint
from pipeline.training.data import Batch, Examples, Plan, mix, training_batches
from pipeline.training.method import Method, Targets
from pipeline.training.processes import Precision, over_processes, share_batch_norm
from pipeline.training.progress import TrainingBar
from pipeline.training.step_graphs import StepGraphs
from pipeline.training.validation import Validation, by_name

MOMENTUM = 0.9
Log = Callable[[Mapping[str, float], int], None]


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast to train; the defaults are those of MeDSLIP's paper.

    Attributes:
        epochs: at least 1.
        batch: images per step over all processes, at least 1.
        parts: how many smaller batches a step's gradients are accumulated over; divides the batch. Batch normalisation
            sees each of them alone, though all processes' share of it.
        optimizer: "adamw" or "sgd", both with a momentum of 0.9.
        lr: peak learning rate, above 0.
        min_lr: first and last learning rate, above 0, at most lr.
        warmup_epochs: linear rise from min_lr to lr, 0 or more, fewer than epochs.
        restarts: how many times the fall to min_lr begins anew at lr, after equal numbers of steps (warm restarts).
        beta2: AdamW's decay of squared gradients, 0 to 1; below 0.999 it pays in short trainings.
        weight_decay: of weight matrices; vectors (biases, norms) do not decay.
        clip: largest gradient norm; 0 does not clip.
        precision: "32-true" or "bf16-mixed".
        devices: processes per machine, "auto" for every GPU or one CPU process; `processes.launch` says more.
        nodes: machines.
        compile: torch.compile the model; pays on a GPU only.
        log_every: steps between two logged points, at least 1.
        checkpoint_every: steps between two checkpoints; the end of an epoch always has one.
        seed: of weights, order, augmentation, negatives and dropout. Only dropout depends on the number of processes,
            each of which draws for its own images.
    """

    epochs: int = 100
    batch: int = 64
    parts: int = 1
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-4
    min_lr: float = 1e-5
    warmup_epochs: float = 5
    restarts: int = 0
    beta2: float = 0.999
    weight_decay: float = 0.02
    clip: float = 0.0
    precision: Precision = "32-true"
    devices: int | Literal["auto"] = "auto"
    nodes: int = 1
    compile: bool = False
    log_every: int = 50
    checkpoint_every: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """What a training came to.

    Attributes:
        steps: optimiser steps in all.
        criterion: what chose the best epoch, "auroc" (macro, of the method's first kind of queries), or "loss" where
            none is defined.
        best_epoch: counted from 1.
        curves: one row per epoch: means of every loss term, learning rate, gradient norm, validation.
        auroc: of the best epoch, by kind and name of query; None where undefined.
        resumed_at: the step at which this run took over, None if it began at the start.
        leader: whether this process is the one to write results.
    """

    steps: int
    criterion: str
    best_epoch: int
    curves: list[dict[str, float]]
    auroc: dict[str, dict[str, float | None]]
    resumed_at: int | None
    leader: bool


def pretrain(
    method: Method,
    config: TrainConfig,
    train: Examples,
    validation: Examples,
    out: Path,
    checkpoints: Path,
    log: Log,
    fabric: Fabric,
) -> Result:
    """Pre-train a model; writes `out`/best and `out`/last.

    Args:
        method: what is trained.
        config: how long and how fast.
        train: examples to learn from, at least one batch.
        validation: examples that choose the best epoch, at least one per process.
        out: folder of the two models.
        checkpoints: folder to resume from, to be named by a hash of all that determines the training. The last ones
            stay there, for whoever writes down what came of it to remove.
        log: is called with metrics and the number of steps done, in the leading process.
        fabric: the processes, from `processes.launch`.

    Raises:
        TrainingError: nothing to learn from, a loss that is not finite, or an interruption.
        ModelError: a model cannot be written.
    """
    if not len(validation):
        raise TrainingError("The validation split has no images, so no epoch can be chosen: give it some patients.")
    if len(validation) < fabric.world_size:  # the others would wait for a process without images for ever
        raise TrainingError(
            f"The validation split has {len(validation)} images for {fabric.world_size} processes, and each needs one: "
            "give it more patients or lower train.devices."
        )
    trainer = _Trainer(method, config, train, validation, fabric, checkpoints, log)
    trainer.run()
    if fabric.is_global_zero:
        trainer.write_models(out)
    fabric.barrier()
    return trainer.result()


@dataclass
class _Progress:
    """What has been done so far: all that a checkpoint holds beside weights, optimiser and schedule."""

    step: int = 0
    rows: list[Tensor] = field(default_factory=list)  # columns of this epoch's steps, float32 [n, columns] each
    curves: list[dict[str, float]] = field(default_factory=list)
    criterion: str = ""
    best_score: float = -math.inf
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    best_auroc: dict[str, Tensor] = field(default_factory=dict)  # by kind of query


class _Trainer:
    """One process of a training."""

    def __init__(
        self,
        method: Method,
        config: TrainConfig,
        train: Examples,
        validation: Examples,
        fabric: Fabric,
        checkpoints: Path,
        log: Log,
    ) -> None:
        self.method, self.config = method, config
        self.train, self.validation = train, validation
        self.fabric, self.checkpoints, self.log = fabric, checkpoints, log
        self.plan = Plan(len(train), self.config.batch, fabric.world_size, self.config.parts, self.config.seed)
        self.steps = self.config.epochs * self.plan.steps_per_epoch
        torch.manual_seed(self.config.seed)
        network = share_batch_norm(method.network(), fabric)
        self.network = network.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = _optimizer(self.network, self.config)
        self.scheduler = _schedule(self.optimizer, self.config, self.steps, self.plan.steps_per_epoch)
        compiled = torch.compile(self.network) if self.config.compile else self.network
        self.model, self.stepper = fabric.setup(cast(nn.Module, compiled), self.optimizer)
        method.to(fabric.device)
        self.weights = method.weights()
        self.columns = (*method.terms, "loss", "gradient_norm")  # what every step measures
        alone = fabric.device.type == "cuda" and fabric.world_size == 1
        self.gradients = StepGraphs(self._gradients, list(self.network.parameters())) if alone else self._gradients
        self.progress = _Progress()
        self.resumed_at: int | None = None
        self.window: list[Tensor] = []  # columns of the steps since the last look at the device
        self.meter = _Meter()

    def run(self) -> None:
        """Train to the end, from the latest checkpoint if there is one."""
        self.resumed_at = self._resume()
        steps = range(self.progress.step, self.steps)
        batches = training_batches(
            self.train,
            self.method.collate,
            self.plan,
            self.fabric.global_rank,
            steps,
            self.fabric.device.type == "cuda",
        )
        bar = TrainingBar(self.steps, self.progress.step, self.fabric.is_global_zero)
        with closing(batches), _Interruption() as interruption, bar:
            if self.resumed_at is not None:
                bar.say(f"Resumed after step {self.resumed_at} of {self.steps} from {self.checkpoints}.")
            for step in steps:
                parts = [self.meter.waiting(batches) for _ in range(self.plan.parts)]
                self._advance(step, parts)
                self._account(step + 1, interruption, bar)

    def write_models(self, out: Path) -> None:
        """Write the best and the last weights."""
        extra = {**self.method.config, "train": asdict(self.config)}
        self.method.save(out / "best", self.progress.best_weights, extra)
        self.method.save(out / "last", self.network.state_dict(), extra)

    def result(self) -> Result:
        """What came of it."""
        done = self.progress
        named = {kind: by_name(names, done.best_auroc[kind]) for kind, names in self.method.queries.items()}
        leader = self.fabric.is_global_zero
        return Result(done.step, done.criterion, done.best_epoch, done.curves, named, self.resumed_at, leader)

    def _advance(self, step: int, parts: Sequence[Batch]) -> None:
        """One optimiser step on this process's parts of the global batch."""
        torch.manual_seed(mix(self.config.seed, step, self.fabric.global_rank))  # dropout
        self.window.append(self.gradients(parts))
        self.stepper.step()
        self.stepper.zero_grad()
        self.scheduler.step()

    def _gradients(self, parts: Sequence[Batch]) -> Tensor:
        """The gradients of all parts, left with the parameters, and what was measured on the way, by `columns`."""
        prepared = [self._prepare(part) for part in parts]
        counts = torch.stack([targets.counts() for _, targets in prepared]).mean(0)
        counts = over_processes(self.fabric, counts, "mean")
        measured = torch.zeros_like(counts)
        for index, part in enumerate(prepared):
            with self.fabric.no_backward_sync(self.model, enabled=index < len(parts) - 1):
                terms = self.method.loss_terms(self.model, *part, counts) / len(parts)
                self.fabric.backward(terms @ self.weights)
            measured += terms.detach()
        limit = self.config.clip or math.inf
        norm = self.fabric.clip_gradients(self.model, self.stepper, max_norm=limit, error_if_nonfinite=False)
        assert norm is not None
        return torch.cat([measured, (measured @ self.weights)[None], norm[None]])

    def _prepare(self, batch: Batch) -> tuple[Tensor, Targets]:
        """Augmented images, and what their labels say."""
        batch = batch.to(self.fabric.device)
        images = augment(batch.images, batch.draws, self.method.augmentation)
        return images, self.method.targets(batch.labels, batch.draws)

    def _account(self, step: int, interruption: "_Interruption", bar: TrainingBar) -> None:
        """Log, validate, save and stop, each when it is due after so many steps."""
        self.progress.step = step
        epoch_ends = step % self.plan.steps_per_epoch == 0
        saves = epoch_ends or step % self.config.checkpoint_every == 0
        stops = interruption.requested and self.fabric.world_size == 1
        if stops or saves or step % self.config.log_every == 0:
            stops = self._look(bar, interruption.requested)
        if epoch_ends:
            self._end_epoch(bar)
        if saves or stops:
            self._save()
        if stops:
            raise TrainingError(
                f"Training was interrupted after step {step} of {self.steps}: run the same command to resume "
                f"from {self.checkpoints}."
            )

    def _look(self, bar: TrainingBar, requested: bool) -> bool:
        """Fetch what the steps since the last look measured, and whether any process was asked to stop.

        It is the one wait for the device.
        """
        window = torch.stack(self.window)
        asked = window.new_full((len(window), 1), float(requested))
        rows = over_processes(self.fabric, torch.cat([window, asked], dim=1), "mean").cpu()
        rows, stops = rows[:, :-1], bool(rows[0, -1] > 0)
        self.window = []
        for step, row in enumerate(rows.tolist(), self.progress.step - len(rows) + 1):
            self._require_finite(step, dict(zip(self.columns, row, strict=True)))
        self.progress.rows.append(rows)
        speed = self.meter.read(len(rows) * self.config.batch)
        values = dict(zip(self.columns, rows.double().mean(0).tolist(), strict=True))
        self._report({**values, "lr": self._lr(), **speed})
        bar.logged(self.progress.step, self._epoch(), values["loss"], speed["images_per_second"])
        return stops

    def _require_finite(self, step: int, values: Mapping[str, float]) -> None:
        names = ", ".join(name for name, value in values.items() if not math.isfinite(value))
        if names:
            raise TrainingError(
                f"Step {step} of {self.steps} gave values that are not finite ({names}): lower train.lr = "
                f"{self.config.lr} or set train.clip, which starts the training anew; the last good checkpoints of "
                f"these settings are kept in {self.checkpoints}."
            )

    def _end_epoch(self, bar: TrainingBar) -> None:
        """Validate, add a row to the curves, and keep the weights if they are the best so far."""
        found = self.method.validate(self.model, self.validation, self.config.batch, self.fabric)
        validated = _validation_row(found)
        self._require_finite(self.progress.step, validated)
        means = torch.cat(self.progress.rows).double().mean(0).tolist()
        self.progress.rows = []
        row = {"step": self.progress.step, "epoch": self._epoch(), **dict(zip(self.columns, means, strict=True))}
        self.progress.curves.append({**row, "lr": self._lr(), **validated})
        self._report(validated)
        self._keep_best(found, bar)
        self.meter = _Meter()  # validation does not count as training time

    def _keep_best(self, found: Validation, bar: TrainingBar) -> None:
        done, macro = self.progress, found.macro(next(iter(self.method.queries)))
        bar.validated(macro)
        done.criterion = "loss" if math.isnan(macro) else "auroc"
        score = -found.loss if done.criterion == "loss" else macro
        if score > done.best_score:
            done.best_score, done.best_epoch, done.best_auroc = score, self._epoch(), found.auroc
            done.best_weights = {k: v.detach().cpu().clone() for k, v in self.network.state_dict().items()}

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            state = {name: part.state_dict() for name, part in self._stateful().items()}
            save_checkpoint(self.checkpoints, self.progress.step, {**state, "progress": vars(self.progress)})
        self.fabric.barrier()

    def _resume(self) -> int | None:
        found = load_checkpoint(self.checkpoints) if self.fabric.is_global_zero else None
        content = self.fabric.broadcast(found)  # one state for all: not every node need see the folder
        if content is None:
            return None
        for name, part in self._stateful().items():
            part.load_state_dict(content[name])
        self.progress = _Progress(**content["progress"])
        return self.progress.step

    def _stateful(self) -> dict[str, Any]:
        return {"network": self.network, "optimizer": self.optimizer, "scheduler": self.scheduler}

    def _report(self, metrics: Mapping[str, float]) -> None:
        if self.fabric.is_global_zero:
            self.log(metrics, self.progress.step)

    def _lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def _epoch(self) -> int:
        """The epoch that the last step belongs to, counted from 1."""
        return -(-self.progress.step // self.plan.steps_per_epoch)


class _Meter:
    """Throughput and waiting since the last reading."""

    def __init__(self) -> None:
        self._start, self._waited = time.perf_counter(), 0.0

    def waiting(self, batches: Iterator[Batch]) -> Batch:
        """The next batch; the wait for it counts."""
        before = time.perf_counter()
        batch = next(batches)
        self._waited += time.perf_counter() - before
        return batch

    def read(self, images: int) -> dict[str, float]:
        """Images per second and the fraction of time spent waiting for batches; begins anew."""
        now = time.perf_counter()
        seconds = max(now - self._start, 1e-9)
        figures = {"images_per_second": images / seconds, "loader_wait": self._waited / seconds}
        self._start, self._waited = now, 0.0
        return figures


class _Interruption:
    """While open, SIGTERM and Ctrl-C ask for a stop after the current step; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "_Interruption":
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            numbers = (signal.SIGTERM, signal.SIGINT)
            self._previous = {number: signal.signal(number, self._request) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _request(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW or SGD; vectors and scalars (biases, norms, temperatures) do not decay."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=MOMENTUM, fused=True)
    return torch.optim.AdamW(groups, lr=config.lr, betas=(MOMENTUM, config.beta2), fused=True)


def _schedule(optimizer: torch.optim.Optimizer, config: TrainConfig, steps: int, steps_per_epoch: int) -> LRScheduler:
    """Linear warm-up from the smallest rate to the peak, then one cosine back to the smallest, or several."""
    warmup = min(round(config.warmup_epochs * steps_per_epoch), steps - 1)
    falls = _cosines(optimizer, config, steps - warmup)
    if not warmup:
        return falls
    rise = LinearLR(optimizer, start_factor=config.min_lr / config.lr, total_iters=warmup)
    return SequentialLR(optimizer, [rise, falls], milestones=[warmup])


def _cosines(optimizer: torch.optim.Optimizer, config: TrainConfig, steps: int) -> LRScheduler:
    if not config.restarts:
        return CosineAnnealingLR(optimizer, T_max=steps, eta_min=config.min_lr)
    period = -(-steps // (config.restarts + 1))
    return CosineAnnealingWarmRestarts(optimizer, T_0=period, eta_min=config.min_lr)


def _validation_row(found: Validation) -> dict[str, float]:
    """What the curves say about a validation; an undefined AUROC is left out."""
    terms = {f"validation_{name}": value for name, value in found.terms.items()}
    return {"validation_loss": found.loss, **terms, **found.aurocs()}
