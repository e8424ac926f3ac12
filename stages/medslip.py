"""MeDSLIP's part of pre-training: its queries, labels and settings."""

from pathlib import Path

from safetensors.torch import load_file

from pipeline.images.shards import ImageShards
from pipeline.losses.medslip import LossConfig
from pipeline.networks.medslip import MeDSLIPConfig
from pipeline.params import Params
from pipeline.schemas import QUERY_SETS, read_table
from pipeline.semantics.labels import ExistenceMatrix
from pipeline.semantics.query_sets import query_names
from pipeline.training.augmentation import AugmentConfig
from pipeline.training.data import Examples
from pipeline.training.medslip import MeDSLIPMethod, Queries
from stages.trained import VECTORS, split_images

NAME = "MeDSLIP"
INPUTS = (Path("data/query_sets.parquet"), Path("data/existence.parquet"), VECTORS)


def method(params: Params) -> MeDSLIPMethod:
    """The method with its prompts."""
    queries = read_queries()
    loss, model = params.loss.model_dump(), params.model.model_dump(exclude={"imported"})
    shared = {name: loss.pop(name) for name in ("icl", "icl_similarity", "icl_scale", "tau", "learn_tau")}
    return MeDSLIPMethod(
        MeDSLIPConfig(text_size=queries.pathology_vectors.shape[1], **model, **shared),
        LossConfig(**loss, **params.labels.model_dump(include={"unmentioned", "uncertain"})),
        queries,
        AugmentConfig(**params.augment.model_dump()),
        params.seed,
    )


def examples(split: str) -> Examples:
    """The images of a split with their existence matrices."""
    shards = ImageShards(Path("data/images/corpus"))
    images = split_images(split, shards.ids)
    existence = ExistenceMatrix.load(
        Path("data/existence.parquet"), Path("data/query_sets.parquet"), images["study_id"].to_list()
    )
    return Examples.of(shards, shards.row_of(images["image_id"]), existence)


def read_queries() -> Queries:
    """The prompts to learn."""
    table, vectors = read_table(Path("data/query_sets.parquet"), QUERY_SETS), load_file(VECTORS)
    return Queries(
        tuple(query_names(table, "pathology")),
        tuple(query_names(table, "anatomy")),
        vectors["pathology/explanation"],
        vectors["anatomy/template"],
    )
