"""Batches of images and labels: which rows, in which order, gathered ahead of the device.

Everything random follows from the seed and the step, so a resumed run sees what an uninterrupted one would have.
Where the rows come from (shards, label tables) is behind a small protocol, and what a method makes of labels behind
another.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import TrainingError
from pipeline.training.augmentation import DRAWS

Rows = NDArray[np.int64]
Item = TypeVar("Item")
AHEAD = 3  # batches gathered before they are asked for


def mix(*numbers: int) -> int:
    """A seed that depends on all of some numbers, each at least 0."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Gatherer(Protocol):
    """Rows of a table of tensors, such as image shards or existence labels."""

    def gather(self, rows: Rows) -> Tensor:
        """The rows' tensors, stacked in the order asked for."""
        ...


class Labels(Gatherer, Protocol):
    """What reports say, one row per sample."""

    @property
    def stated(self) -> NDArray[np.bool_]:
        """Whether a report says anything of each sample [N]."""
        ...


@dataclass(frozen=True)
class Examples:
    """Images with their labels.

    Attributes:
        images: gathers uint8 [n, S, S].
        image_rows: the row of each example in images [n].
        labels: gathers what reports say, in the form that the method trains on [n, ...].
        label_rows: the row of each example in labels [n].
    """

    images: Gatherer
    image_rows: Rows
    labels: Gatherer
    label_rows: Rows

    @classmethod
    def of(cls, images: Gatherer, image_rows: Rows, labels: Labels) -> "Examples":
        """Images whose labels are in the same order; those of which nothing is said would only pass for healthy."""
        rows = np.flatnonzero(labels.stated)
        return cls(images, image_rows[rows], labels, rows)

    def __len__(self) -> int:
        return len(self.image_rows)

    def gather(self, which: Rows) -> tuple[Tensor, Tensor]:
        """Images and labels of some examples."""
        return self.images.gather(self.image_rows[which]), self.labels.gather(self.label_rows[which])


@dataclass(frozen=True)
class Batch:
    """One process's part of one step.

    Attributes:
        images: uint8 [B, S, S].
        draws: of the augmentation, uniform in [0, 1) [B, augmentation.DRAWS].
        labels: tensors by name, as the method collates them.
    """

    images: Tensor
    draws: Tensor
    labels: Mapping[str, Tensor]

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device; the copy does not wait where the memory is pinned."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin(self) -> "Batch":
        """The batch in page-locked memory."""
        return self._each(Tensor.pin_memory)

    def tensors(self) -> tuple[Tensor, ...]:
        """All of it, always in the same order."""
        return self.images, self.draws, *self.labels.values()

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        labels = {name: change(tensor) for name, tensor in self.labels.items()}
        return Batch(change(self.images), change(self.draws), labels)


@dataclass(frozen=True)
class Share:
    """What a method collates labels from: the examples of a global step, and which of them are one process's part.

    Attributes:
        labels: gathers the labels of some rows.
        rows: of the whole step [batch].
        own: the part's place among them.
        draws: of the augmentation, for the whole step [batch, augmentation.DRAWS].
        generator: for further draws, which must be of the whole step too.
    """

    labels: Gatherer
    rows: Rows
    own: slice
    draws: Tensor
    generator: torch.Generator


Collate = Callable[[Share], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Plan:
    """The order of training: a global batch per step, cut into processes and accumulated parts.

    Attributes:
        examples: number of training examples, at least one global batch.
        batch: images per step over all processes, a multiple of processes * parts.
        processes: number of processes.
        parts: batches whose gradients are accumulated in a step.
        seed: of the order.
    """

    examples: int
    batch: int
    processes: int
    parts: int
    seed: int

    def __post_init__(self) -> None:
        """Raises TrainingError when the batch does not fit the examples or the processes."""
        if self.batch % (self.processes * self.parts):
            shape = f"{self.processes} processes x {self.parts} accumulated parts"
            raise TrainingError(f"train.batch = {self.batch} does not divide into {shape}: choose a multiple.")
        if self.examples < self.batch:
            raise TrainingError(
                f"train.batch = {self.batch} is more than the {self.examples} training images: choose a smaller batch."
            )

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch; the examples left over change with every epoch."""
        return self.examples // self.batch

    def step_rows(self, step: int) -> Rows:
        """The examples of one global step, counted from 0 over all epochs [batch]."""
        epoch, index = divmod(step, self.steps_per_epoch)
        order = _epoch_order(self.seed, epoch, self.examples)
        return order[index * self.batch : (index + 1) * self.batch]

    def step_draws(self, step: int) -> tuple[Tensor, torch.Generator]:
        """Uniform draws in [0, 1) of one global step's augmentation, and the generator to go on with.

        They are drawn for the global batch, so that they do not depend on the number of processes or parts.

        Args:
            step: counted from 0 over all epochs.

        Returns:
            [batch, augmentation.DRAWS], and the generator after them.
        """
        generator = torch.Generator().manual_seed(mix(self.seed, step))
        return torch.rand(self.batch, DRAWS, generator=generator), generator

    def own(self, part: int, process: int) -> slice:
        """Which of a step's rows one process handles in one part."""
        size = self.batch // (self.processes * self.parts)
        start = (part * self.processes + process) * size
        return slice(start, start + size)


def training_batches(
    examples: Examples, collate: Collate, plan: Plan, process: int, steps: range, pinned: bool
) -> Generator[Batch, None, None]:
    """One process's batches of some steps, part by part, gathered in a background thread.

    Raises:
        Whatever gathering raises.
    """

    def produce() -> Iterator[Batch]:
        for step in steps:
            rows = plan.step_rows(step)
            for part in range(plan.parts):
                own = plan.own(part, process)
                draws, generator = plan.step_draws(step)
                share = Share(examples.labels, examples.label_rows[rows], own, draws, generator)
                batch = Batch(examples.images.gather(examples.image_rows[rows[own]]), draws[own], collate(share))
                yield batch.pin() if pinned else batch

    return prefetch(produce())


def prefetch(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The same items, made ahead in a background thread; an exception there is raised here."""
    ready: queue.Queue[Item | BaseException | None] = queue.Queue(AHEAD)
    stopped = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, ready, stopped), daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:  # also when the consumer stops early
        stopped.set()
        thread.join()


def _fill(items: Iterator[Item], ready: "queue.Queue[Item | BaseException | None]", stopped: threading.Event) -> None:
    try:
        for item in items:
            if not _put(ready, item, stopped):
                return
        _put(ready, None, stopped)
    except BaseException as error:
        _put(ready, error, stopped)


def _put(ready: "queue.Queue[Any]", item: Any, stopped: threading.Event) -> bool:
    """Wait for room, unless the consumer is gone."""
    while not stopped.is_set():
        try:
            ready.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, examples: int) -> Rows:
    return np.random.default_rng((seed, epoch)).permutation(examples)
