"""Pre-train MeDSLIP on the training split; the validation split chooses the best weights."""

import json
from dataclasses import asdict
from pathlib import Path

import polars as pl
from safetensors.torch import load_file

from pipeline.images.shards import ImageShards
from pipeline.losses import LossConfig
from pipeline.model_card import CardInputs, model_card
from pipeline.networks.medslip import MeDSLIPConfig
from pipeline.params import Params
from pipeline.schemas import IMAGES, QUERY_SETS, read_table
from pipeline.semantics.labels import ExistenceMatrix
from pipeline.semantics.query_sets import query_names
from pipeline.tracking import Training, training_run
from pipeline.training.augmentation import AugmentConfig
from pipeline.training.data import Examples
from pipeline.training.loop import Queries, Recipe, Result, TrainConfig, pretrain
from stages.common import fix_torch, run, stage_params, write_metrics
from stages.trained import PRETRAINED, TRAINING, VECTORS, model_hash, training_record

INPUTS = ("data/corpus", "data/images/corpus", "data/query_sets.parquet", "data/existence.parquet")


def main() -> None:
    params = stage_params(
        "seed", "threads", "method", "scale", "corpus", "labels", "model", "loss", "train", "augment"
    )  # fmt: skip
    fix_torch(params)
    queries = read_queries()
    training = training_record(params, [*map(Path, INPUTS), VECTORS])
    train, validation = examples("train"), examples("validate")
    with training_run(training) as tracked:
        checkpoints = Path(".checkpoints/pretrain") / training.key
        result = pretrain(recipe(params, queries), train, validation, queries, PRETRAINED, checkpoints, tracked.log)
        if result.leader:
            write_outputs(result, len(train), len(validation))
            TRAINING.write_text(json.dumps(asdict(training), indent=2, sort_keys=True) + "\n")
            write_card(result, training, queries)
            tracked.finish(model_hash())


def read_queries() -> Queries:
    table, vectors = read_table(Path("data/query_sets.parquet"), QUERY_SETS), load_file(VECTORS)
    return Queries(
        tuple(query_names(table, "pathology")),
        tuple(query_names(table, "anatomy")),
        vectors["pathology/explanation"],
        vectors["anatomy/template"],
    )


def recipe(params: Params, queries: Queries) -> Recipe:
    loss, model = params.loss.model_dump(), params.model.model_dump()
    shared = {name: loss.pop(name) for name in ("icl", "icl_similarity", "icl_scale", "tau", "learn_tau")}
    return Recipe(
        MeDSLIPConfig(text_size=queries.pathology_vectors.shape[1], **model, **shared),
        LossConfig(**loss, **params.labels.model_dump()),
        AugmentConfig(**params.augment.model_dump()),
        TrainConfig(seed=params.seed, **params.train.model_dump()),
    )


def examples(split: str) -> Examples:
    images = read_table(Path("data/corpus/images.parquet"), IMAGES)
    shards = ImageShards(Path("data/images/corpus"))
    found = images.filter(pl.col("split") == split, pl.col("image_id").is_in(shards.ids.implode()))
    existence = ExistenceMatrix.load(
        Path("data/existence.parquet"), Path("data/query_sets.parquet"), found["study_id"].to_list()
    )
    return Examples(
        shards, shards.row_of(found["image_id"]), existence, pl.int_range(len(found), eager=True).to_numpy()
    )


def write_outputs(result: Result, train: int, validation: int) -> None:
    curves = Path("reports/pretrain/curves.csv")
    curves.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(result.curves).write_csv(curves, float_precision=6)
    metrics = {
        "train_images": train,
        "validation_images": validation,
        "steps": result.steps,
        "best_epoch": result.best_epoch,
        "criterion": result.criterion,
        "pathology_auroc": result.pathology_auroc,
        "anatomy_auroc": result.anatomy_auroc,
    }
    write_metrics(curves.with_name("metrics.json"), metrics)


def write_card(result: Result, training: Training, queries: Queries) -> None:
    best = result.curves[result.best_epoch - 1]
    inputs = CardInputs(
        method="MeDSLIP",
        phantoms=Path("data/phantom/truth").is_dir(),
        model_hash=model_hash(),
        params=training.params,
        counts=json.loads(Path("reports/corpus.json").read_text()),
        metrics={name: value for name, value in best.items() if name.startswith("validation")},
        queries={"pathologies": queries.pathologies, "anatomies": queries.anatomies},
    )
    (PRETRAINED / "README.md").write_text(model_card(inputs))


if __name__ == "__main__":
    run(main)
