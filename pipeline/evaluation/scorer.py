"""What an evaluation may ask of a model, and the models that answer.

Evaluators know only the Protocols here, so a new model is a new scorer. Prompts arrive encoded by the frozen text
encoder; images as the uint8 squares of the shards.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import EvaluationError


class Streams(NamedTuple):
    """Queried embeddings of the two streams."""

    pathology: Tensor  # [B, N_p, d]
    anatomy: Tensor  # [B, N_a, d]


class Scorer(Protocol):
    """A model in evaluation mode. Images are uint8 [B, S, S], prompts float32 [N, h]; results are on the CPU."""

    def score(self, images: Tensor, prompts: Tensor) -> Tensor:
        """Probability in [0, 1] that each prompted finding is present: [B, N]."""
        ...

    def heat_maps(self, images: Tensor, prompts: Tensor) -> Tensor:
        """Where the model looks for each prompted finding, not negative, at the grid of its patches: [B, N, g, g]."""
        ...

    def embed_images(self, images: Tensor) -> Tensor:
        """One vector per image: [B, d]."""
        ...

    def embed_queries(self, images: Tensor, prompts: Tensor) -> Tensor:
        """One vector per image and prompted finding: [B, N, d]."""
        ...

    def embed_text(self, prompts: Tensor) -> Tensor:
        """The prompts in the space of the queries: [N, d]."""
        ...


class StreamScorer(Scorer, Protocol):
    """A model that separates pathology from anatomy."""

    def embed_streams(self, images: Tensor, pathologies: Tensor, anatomies: Tensor) -> Streams:
        """Queried embeddings for pathology prompts [N_p, h] and anatomy prompts [N_a, h]."""
        ...


class ImageSource(Protocol):
    """Decoded images by row (`images.shards.ImageShards`)."""

    ids: Sequence[str]

    def gather(self, rows: NDArray[np.int64]) -> Tensor:
        """Images as uint8 [B, S, S]."""
        ...


def locate(source: ImageSource, images: pl.DataFrame) -> pl.DataFrame:
    """Those of the images that were decoded, with their row in the source, in the order of the rows.

    Raises:
        EvaluationError: none of the images was decoded.
    """
    ids = list(source.ids)
    rows = pl.DataFrame(
        {"image_id": ids, "row": np.arange(len(ids), dtype=np.int64)}, schema_overrides={"image_id": pl.String}
    )
    found = images.join(rows, on="image_id", how="inner").sort("row")
    if images.height and not found.height:
        raise EvaluationError(
            f"None of {images.height} images, first {images['image_id'][0]}, is decoded: run `dvc repro` anew."
        )
    return found


def batches(source: ImageSource, rows: NDArray[np.int64], size: int) -> Iterator[Tensor]:
    """The images of some rows, a few at a time: uint8 [<= size, S, S]."""
    for start in range(0, len(rows), size):
        yield source.gather(rows[start : start + size])


def check_prompts(prompts: Tensor, findings: Sequence[str], benchmark: str) -> None:
    """Each finding has its prompt.

    Raises:
        EvaluationError: their numbers differ, or a prompt is not finite.
    """
    if prompts.ndim != 2 or len(prompts) != len(findings):
        raise EvaluationError(
            f"{benchmark} has {len(findings)} findings but prompts of shape {list(prompts.shape)}: encode one for each."
        )
    if not torch.isfinite(prompts).all():
        raise EvaluationError(
            f"{benchmark} has a prompt vector that is not finite: encode the prompts anew with `dvc repro prompts`."
        )
