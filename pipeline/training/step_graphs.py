"""Steps replayed as CUDA graphs: launching a step's thousands of small kernels takes a GPU longer than running them.

Holds no arithmetic: what is replayed is what the loop does without a GPU too, kernel by kernel.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.training.data import Batch

Step = Callable[[Sequence[Batch]], Tensor]
MOST_SHAPES = 8  # each holds gradients of its own


class StepGraphs:
    """A step that leaves gradients, on one GPU: launched where shapes are met for the first time, then replayed.

    It may not wait for the device, and must take all that varies between its calls from its batches, from parameters
    and from the device's default random generator.

    Args:
        step: from batches on any device to what it measured, on the GPU; parameters have no gradients before it.
        parameters: of the model.
    """

    def __init__(self, step: Step, parameters: Sequence[nn.Parameter]) -> None:
        self._step, self._parameters = step, parameters
        self._pool: Any = torch.cuda.graph_pool_handle()  # one replay's memory is free in the next
        self._graphs: dict[tuple[torch.Size, ...], _Graph | None] = {}

    def __call__(self, batches: Sequence[Batch]) -> Tensor:
        """What the step measures of some batches."""
        shapes = tuple(tensor.shape for batch in batches for tensor in batch.tensors())
        if shapes in self._graphs:
            graph = self._graphs[shapes] = self._graphs[shapes] or self._capture(batches)
            measured = graph.replay(batches)
            for parameter, gradient in zip(self._parameters, graph.gradients, strict=True):
                parameter.grad = gradient
            return measured
        if len(self._graphs) < MOST_SHAPES:
            self._graphs[shapes] = None  # kernels are compiled and chosen in this call, which no graph can hold
        return self._step(batches)

    def _capture(self, batches: Sequence[Batch]) -> "_Graph":
        """Record a step without running it."""
        inputs = [batch.to(self._parameters[0].device) for batch in batches]
        graph = torch.cuda.CUDAGraph()
        # other threads may use the device meanwhile: one pins the next batches' memory
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            measured = self._step(inputs)
        gradients = [parameter.grad for parameter in self._parameters]
        return _Graph(graph, inputs, measured, gradients)


@dataclass(frozen=True)
class _Graph:
    """A recorded step, the tensors it reads, and those it writes."""

    graph: torch.cuda.CUDAGraph
    inputs: Sequence[Batch]
    measured: Tensor
    gradients: Sequence[Tensor | None]

    def replay(self, batches: Sequence[Batch]) -> Tensor:
        for own, batch in zip(self.inputs, batches, strict=True):
            for to, value in zip(own.tensors(), batch.tensors(), strict=True):
                to.copy_(value, non_blocking=True)
        self.graph.replay()
        return self.measured.clone()
