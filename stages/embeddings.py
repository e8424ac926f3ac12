"""t-SNE of the two streams' queried embeddings of validation images, where the model has two."""

from pathlib import Path

import polars as pl
from safetensors.torch import load_file

from pipeline.evaluation.embeddings import Queries, StreamMap, map_streams
from pipeline.evaluation.results import write_results
from pipeline.evaluation.scorer import StreamScorer
from pipeline.images.shards import ImageShards
from pipeline.networks.io import load_medslip
from pipeline.schemas import IMAGES, POINTS, read_table, write_table
from stages.common import run, stage_params
from stages.determinism import fix_torch
from stages.scoring import load_scorer
from stages.trained import PRETRAINED, VECTORS

OUT = Path("reports/embeddings.parquet")
ONE_STREAM = "The model does not tell pathology from anatomy, so there are no two streams to map."


def main() -> None:
    params = stage_params("seed", "threads")
    fix_torch(params)
    scorer = load_scorer()
    if isinstance(scorer, StreamScorer):
        streams = map_validation_images(scorer, params.seed)
        write_table(streams.points, OUT, POINTS)
        write_results({"silhouette": streams.silhouette}, OUT.with_suffix(".json"))
    else:
        write_table(pl.DataFrame(schema=POINTS.names), OUT, POINTS)
        write_results({"silhouette": None, "notes": [ONE_STREAM]}, OUT.with_suffix(".json"))


def map_validation_images(scorer: StreamScorer, seed: int) -> StreamMap:
    """Both streams' embeddings of the corpus' validation images, asked in the training's own words."""
    images = read_table(Path("data/corpus/images.parquet"), IMAGES)
    shards = ImageShards(Path("data/images/corpus"))
    shown = images.filter(pl.col("split") == "validate", pl.col("image_id").is_in(shards.ids.implode()))
    stored, vectors = load_medslip(PRETRAINED / "best"), load_file(VECTORS)
    pathology = Queries(stored.pathologies, vectors["pathology/explanation"])
    anatomy = Queries(stored.anatomies, vectors["anatomy/template"])
    return map_streams(scorer, shards, shards.row_of(shown["image_id"]), pathology, anatomy, seed)


if __name__ == "__main__":
    run(main)
