"""Diseased against healthy images, finding by finding: UMAP of the queried embeddings, and how far apart they are.

One map per finding, made of what the finding's query found in each image. The maps are for the eye: distances in them
mean little, so the number beside each is measured in the embedding space. Seeded and on one thread, so that the maps
are the same each time. Plots are `reporting`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors
from umap import UMAP

from pipeline.errors import EvaluationError
from pipeline.evaluation.scorer import ImageSource, Prompts, Scorer, batches, check_prompts, locate

BATCH = 64
FINDINGS = 6  # as many maps at most: those of the findings with the most diseased images
POINTS = 300  # diseased, and healthy, images in a map at most; more crowd it
NEIGHBOURS = 15  # of UMAP, or all others of a small map
FEWEST = 3  # diseased, and healthy, images of a map at least
FEW = 30  # fewer are pointed out
GROUPS = ("healthy", "diseased")


@dataclass(frozen=True)
class FindingMaps:
    """The maps' points (`schemas.FINDING_POINTS`), and metrics as plain values for JSON.

    `silhouette` of the two groups in the embedding space is in [-1, 1]: near 1 when each image is far nearer to those
    of its own group than to the other's, 0 when they are mixed; macro at the top level, per finding in `per_class`.
    """

    points: pl.DataFrame
    metrics: dict[str, Any]


def map_findings(
    scorer: Scorer,
    source: ImageSource,
    images: pl.DataFrame,
    labels: pl.DataFrame,
    prompts: Prompts,
    findings: Sequence[str],
    *,
    benchmark: str,
    seed: int = 0,
) -> FindingMaps:
    """Map the test images with each finding beside those without any.

    Args:
        scorer: the model.
        source: the decoded images.
        images: `schemas.IMAGES` of the benchmark.
        labels: `schemas.LABELS` of the benchmark; an image is healthy when all of its labels are 0.
        prompts: N of them.
        findings: their N names, as in the labels.
        benchmark: its name, for errors.
        seed: of the choice of images and of the maps.

    Raises:
        EvaluationError: no finding has FEWEST diseased and healthy images, or an embedding is not finite.
    """
    check_prompts(prompts, findings, benchmark)
    members = _members(locate(source, images.filter(split="test")), labels, findings, benchmark, seed)
    rows = members["row"].unique().sort().to_numpy()
    embedded = np.concatenate([_embed(scorer, some, prompts) for some in batches(source, rows, BATCH)])  # [n, N, d]
    if not np.isfinite(embedded).all():
        raise EvaluationError("A queried embedding is not finite: the model diverged; train it anew.")
    maps, per_class = [], {}
    for (name,), own in members.group_by("finding", maintain_order=True):
        points = embedded[np.searchsorted(rows, own["row"].to_numpy()), findings.index(str(name))]  # [P, d]
        places = _map(points, seed)
        maps.append(own.drop("row").with_columns(x=places[:, 0], y=places[:, 1]))
        counts = {group: own.filter(group=group).height for group in GROUPS}
        per_class[str(name)] = {"silhouette": float(silhouette_score(points, own["group"].to_numpy())), **counts}
    macro = float(np.mean([row["silhouette"] for row in per_class.values()]))
    return FindingMaps(pl.concat(maps), {"silhouette": macro, "per_class": per_class, "notes": _notes(per_class)})


def _map(points: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Embeddings [P, d] to places [P, 2].

    Neighbours are found beforehand: UMAP compiles for five seconds to do it itself.
    """
    neighbours = min(NEIGHBOURS, len(points) - 1)
    distances, nearest = NearestNeighbors(n_neighbors=neighbours).fit(points).kneighbors(points)
    umap = UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1, precomputed_knn=(nearest, distances))
    with catch_warnings():
        filterwarnings("ignore", message="precomputed_knn.*")  # that no further points can be placed
        places: NDArray[np.float32] = umap.fit_transform(points)
    return places


def _notes(per_class: dict[str, Any]) -> list[str]:
    """What a reader must know before quoting the figures."""
    few = [name for name, row in per_class.items() if min(row[group] for group in GROUPS) < FEW]
    return [f"Fewer than {FEW} diseased or healthy images in the map: {', '.join(few)}."] if few else []


def _embed(scorer: Scorer, images: torch.Tensor, prompts: Prompts) -> NDArray[np.float32]:
    embedded: NDArray[np.float32] = scorer.embed_queries(images, prompts).float().numpy()
    return embedded


def _members(
    found: pl.DataFrame, labels: pl.DataFrame, findings: Sequence[str], benchmark: str, seed: int
) -> pl.DataFrame:
    """The mapped findings' images: finding, group, image_id, row; of each group a random choice of POINTS."""
    known = found.select("image_id", "row").join(labels, on="image_id").sort("row", "finding")
    healthy = known.filter(pl.col("label").max().over("image_id") == 0).unique("row").sort("row")
    diseased = known.filter(pl.col("label") == 1, pl.col("finding").is_in(list(findings)))
    sizes = diseased.group_by("finding").len().filter(pl.col("len") >= FEWEST)
    chosen = sizes.sort("len", "finding", descending=[True, False])["finding"].head(FINDINGS).to_list()
    if healthy.height < FEWEST or not chosen:
        raise EvaluationError(
            f"{benchmark} has no finding with {FEWEST} test images beside {FEWEST} healthy ones: leave it out of "
            "`finding_maps`."
        )
    rng = np.random.default_rng(seed)
    groups = [
        _some(rows, rng).select(pl.lit(name).alias("finding"), pl.lit(group).alias("group"), "image_id", "row")
        for name in chosen
        for group, rows in zip(GROUPS, (healthy, diseased.filter(finding=name)), strict=True)
    ]
    return pl.concat(groups)


def _some(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return rows[np.sort(rng.permutation(rows.height)[:POINTS])]
