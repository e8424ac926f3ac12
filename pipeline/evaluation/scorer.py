"""What an evaluation may ask of a model, and the models that answer.

Evaluators know only the Protocols here, so a new model is a new scorer. Prompts arrive as texts, and encoded by the
frozen text encoder; images as the uint8 squares of the shards.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import EvaluationError
from pipeline.networks.medslip import MeDSLIP, StreamOutput


@dataclass(frozen=True)
class Prompts:
    """What a model is asked for.

    Attributes:
        texts: N of them, for models with a text encoder of their own.
        vectors: the texts encoded by the frozen text encoder, float32 [N, h].
    """

    texts: tuple[str, ...]
    vectors: Tensor

    def __len__(self) -> int:
        return len(self.texts)


class Streams(NamedTuple):
    """Queried embeddings of the two streams."""

    pathology: Tensor  # [B, N_p, d]
    anatomy: Tensor  # [B, N_a, d]


class Scorer(Protocol):
    """A model in evaluation mode. Images are uint8 [B, S, S], prompts N; results are on the CPU."""

    def score(self, images: Tensor, prompts: Prompts) -> Tensor:
        """Probability in [0, 1] that each prompted finding is present: [B, N]."""
        ...

    def heat_maps(self, images: Tensor, prompts: Prompts) -> Tensor:
        """Where the model looks for each prompted finding, not negative, at the grid of its patches: [B, N, g, g]."""
        ...

    def embed_images(self, images: Tensor) -> Tensor:
        """One vector per image: [B, d]."""
        ...

    def embed_queries(self, images: Tensor, prompts: Prompts) -> Tensor:
        """One vector per image and prompted finding: [B, N, d]."""
        ...

    def embed_text(self, prompts: Prompts) -> Tensor:
        """The prompts in the space of the queries: [N, d]."""
        ...


@runtime_checkable
class StreamScorer(Scorer, Protocol):
    """A model that separates pathology from anatomy."""

    def embed_streams(self, images: Tensor, pathologies: Tensor, anatomies: Tensor) -> Streams:
        """Queried embeddings for pathology prompts [N_p, h] and anatomy prompts [N_a, h]."""
        ...


class MeDSLIPScorer:
    """MeDSLIP as a scorer: the pathology stream alone, asked by prompt.

    Queries see each other in the decoder's self-attention, so each is asked in the company it had in pre-training:
    the pre-training pathologies are asked along, but for those whose prompt is among the asked ones.

    Args:
        model: put into evaluation mode here; images go to where it lies.
        company: prompts of the pre-training pathologies, [N_p, h]; with none [0, h] the asked ones are alone.
    """

    def __init__(self, model: MeDSLIP, company: Tensor) -> None:
        self.model = model.eval()
        self.device = next(model.parameters()).device
        self.company = company

    def score(self, images: Tensor, prompts: Prompts) -> Tensor:
        """Probability in [0, 1] that each prompted finding is present: [B, N]."""
        return torch.sigmoid(self._ask(images, prompts, maps=False).logits[:, : len(prompts)]).cpu()

    def heat_maps(self, images: Tensor, prompts: Prompts) -> Tensor:
        """Cross-attention averaged over heads and layers, summing to 1 over the patches: [B, N, g, g]."""
        attention = self._ask(images, prompts, maps=True).attention
        assert attention is not None  # it was asked for
        side = math.isqrt(attention.shape[-1])
        return attention[:, :, : len(prompts)].mean(dim=1).reshape(len(images), len(prompts), side, side).cpu()

    def embed_images(self, images: Tensor) -> Tensor:
        """The encoder's features averaged over the patches: [B, C]."""
        with torch.inference_mode():
            features: Tensor = self.model.backbone(self._grey(images))  # [B, C, g, g]
        return features.mean(dim=(2, 3)).cpu()

    def embed_queries(self, images: Tensor, prompts: Prompts) -> Tensor:
        """The pathology stream's queried embeddings: [B, N, d]."""
        return self._ask(images, prompts, maps=False).queried[:, : len(prompts)].cpu()

    def embed_streams(self, images: Tensor, pathologies: Tensor, anatomies: Tensor) -> Streams:
        """Queried embeddings for pathology prompts [N_p, h] and anatomy prompts [N_a, h], these alone."""
        with torch.inference_mode():
            output = self.model(self._grey(images), pathologies.to(self.device), anatomies.to(self.device))
        return Streams(output.pathology.queried.cpu(), output.anatomy.queried.cpu())

    def embed_text(self, prompts: Prompts) -> Tensor:
        """The prompts as queries, before they see an image: [N, d]."""
        with torch.inference_mode():
            queries: Tensor = self.model.prompt_projection(prompts.vectors.to(self.device))
        return queries.cpu()

    def _ask(self, images: Tensor, prompts: Prompts, maps: bool) -> StreamOutput:
        asked = (self.company[:, None] == prompts.vectors[None]).all(dim=-1).any(dim=1)  # [N_p]
        queries = torch.cat([prompts.vectors, self.company[~asked]]).to(self.device)
        with torch.inference_mode():
            return self.model.ask_pathologies(self._grey(images), queries, maps)

    def _grey(self, images: Tensor) -> Tensor:
        return images.to(self.device)[:, None].float() / 255  # [B, 1, S, S]


class ImageSource(Protocol):
    """Decoded images by row (`images.shards.ImageShards`)."""

    @property
    def ids(self) -> Iterable[str]:
        """image_id of every row."""
        ...

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


def check_prompts(prompts: Prompts, findings: Sequence[str], benchmark: str) -> None:
    """Each finding has its prompt.

    Raises:
        EvaluationError: their numbers differ, or a prompt vector is not finite.
    """
    if prompts.vectors.ndim != 2 or not len(prompts) == len(prompts.vectors) == len(findings):
        raise EvaluationError(
            f"{benchmark} has {len(findings)} findings but {len(prompts)} prompts with vectors of shape "
            f"{list(prompts.vectors.shape)}: encode one for each."
        )
    if not torch.isfinite(prompts.vectors).all():
        raise EvaluationError(
            f"{benchmark} has a prompt vector that is not finite: encode the prompts anew with `dvc repro prompts`."
        )
