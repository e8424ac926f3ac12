"""The two streams' queried embeddings: their t-SNE map, and how far apart they are as one number.

Everything is seeded and the map is made on one thread, so that it is the same each time. Plots are `reporting`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from openTSNE import TSNE
from sklearn.metrics import silhouette_score
from torch import Tensor

from pipeline.errors import EvaluationError
from pipeline.evaluation.scorer import ImageSource, Prompts, StreamScorer, batches, check_prompts

BATCH = 64
PERPLEXITY = 30
POINTS = 300  # of each stream at most; more crowd the map and take longer than the rest of the stage


class Queries(NamedTuple):
    """What a stream is asked for."""

    names: Sequence[str]  # N
    prompts: Tensor  # [N, h] encoded


@dataclass(frozen=True)
class StreamMap:
    """The t-SNE map of both streams, and their silhouette score.

    Attributes:
        points: x, y, stream (pathology | anatomy), query, image_id.
        silhouette: of the streams in the embedding space, in [-1, 1]: near 1 when each embedding is far nearer to its
            own stream's than to the other's, 0 when the streams are mixed.
    """

    points: pl.DataFrame
    silhouette: float


def map_streams(
    scorer: StreamScorer,
    source: ImageSource,
    rows: NDArray[np.int64],
    pathology: Queries,
    anatomy: Queries,
    seed: int,
    points: int = POINTS,
) -> StreamMap:
    """Embed images with both streams' queries, and map a random choice of the embeddings.

    Args:
        scorer: a model with two streams.
        source: the decoded images.
        rows: which of them.
        pathology: the pathology stream's queries.
        anatomy: the anatomy stream's queries.
        seed: of the choice of embeddings and of the map.
        points: of each stream at most, more than PERPLEXITY.

    Raises:
        EvaluationError: there are too few embeddings for a map, or one is not finite.
    """
    for stream, queries in (("pathology", pathology), ("anatomy", anatomy)):
        check_prompts(Prompts(tuple(queries.names), queries.prompts), queries.names, f"The {stream} stream")
    asked = pathology.prompts, anatomy.prompts
    parts = [scorer.embed_streams(images, *asked) for images in batches(source, rows, BATCH)]
    rng, chosen, described = np.random.default_rng(seed), [], []
    for stream, queries in (("pathology", pathology), ("anatomy", anatomy)):
        embedded = torch.cat([getattr(part, stream) for part in parts]).flatten(0, 1).float().numpy()  # [n * N, d]
        kept = np.sort(rng.permutation(len(embedded))[:points])
        chosen.append(embedded[kept])
        described.append(_describe(stream, queries.names, kept, source, rows))
    return _map(np.concatenate(chosen), pl.concat(described), seed)


def _describe(
    stream: str, names: Sequence[str], kept: NDArray[np.int64], source: ImageSource, rows: NDArray[np.int64]
) -> pl.DataFrame:
    """Stream, query and image of the kept embeddings, which run over the queries within each image."""
    ids = np.array(list(source.ids), dtype=object)[rows[kept // len(names)]]
    queries = np.array(names, dtype=object)[kept % len(names)]
    strings = {"query": pl.String, "image_id": pl.String}
    return pl.DataFrame({"query": queries, "image_id": ids}, schema=strings).with_columns(stream=pl.lit(stream))


def _map(embedded: NDArray[np.float32], described: pl.DataFrame, seed: int) -> StreamMap:
    if len(embedded) <= 3 * PERPLEXITY:
        raise EvaluationError(f"{len(embedded)} embeddings are too few for a t-SNE map: take more images or queries.")
    if not np.isfinite(embedded).all():
        raise EvaluationError("A queried embedding is not finite: the model diverged; train it anew.")
    tsne = TSNE(perplexity=PERPLEXITY, neighbors="exact", negative_gradient_method="bh", random_state=seed, n_jobs=1)
    places = np.asarray(tsne.fit(embedded))  # [P, 2]
    silhouette = float(silhouette_score(embedded, described["stream"].to_numpy()))
    return StreamMap(described.with_columns(x=places[:, 0], y=places[:, 1]), silhouette)
