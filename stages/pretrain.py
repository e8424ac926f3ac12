"""Pre-train MeDSLIP on the training split; the validation split chooses the best weights. Or take an imported model."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import cast

import polars as pl
from safetensors.torch import load_file

from pipeline.errors import ModelError, TrainingError
from pipeline.images.shards import ImageShards
from pipeline.imported import imported_folder
from pipeline.losses import LossConfig
from pipeline.model_card import CardInputs, model_card
from pipeline.networks.io import StoredModel, load_model, save_model
from pipeline.networks.medslip import MeDSLIP, MeDSLIPConfig
from pipeline.params import Params
from pipeline.schemas import IMAGES, QUERY_SETS, read_table
from pipeline.semantics.labels import ExistenceMatrix
from pipeline.semantics.query_sets import query_names
from pipeline.tracking import Training, project_root, training_run
from pipeline.training.augmentation import AugmentConfig
from pipeline.training.data import Examples
from pipeline.training.loop import COLUMNS, Queries, Recipe, Result, TrainConfig, pretrain
from pipeline.training.processes import launch
from pipeline.training.validation import Validation, by_name, validate
from stages.common import fix_torch, run, stage_params, write_metrics
from stages.trained import PRETRAINED, TRAINING, VECTORS, model_hash, training_record

CURVES, METRICS = Path("reports/pretrain/curves.csv"), Path("reports/pretrain/metrics.json")
INPUTS = ("data/corpus", "data/images/corpus", "data/query_sets.parquet", "data/existence.parquet")


def main() -> None:
    params = stage_params(
        "seed", "threads", "method", "scale", "corpus", "labels", "model", "loss", "train", "augment"
    )  # fmt: skip
    fix_torch(params)
    if params.model.imported:
        take(params, imported_folder(params.model.imported), read_queries())
    else:
        train(params, read_queries())


def train(params: Params, queries: Queries) -> None:
    training = training_record(params, [*map(Path, INPUTS), VECTORS])
    learned, validation = examples("train"), examples("validate")
    fabric = launch(params.train.devices, params.train.nodes, params.train.precision)
    with training_run(training, fabric.is_global_zero) as tracked:
        checkpoints = project_root() / ".checkpoints/pretrain" / training.key  # a copy that DVC runs in does not stay
        chosen = recipe(params, queries)
        result = pretrain(chosen, learned, validation, queries, PRETRAINED, checkpoints, tracked.log, fabric)
        if fabric.is_global_zero:
            write_outputs(result, len(learned), len(validation))
            best = result.curves[result.best_epoch - 1]
            validated = {name: value for name, value in best.items() if name.startswith("validation")}
            counts = json.loads(Path("reports/corpus.json").read_text())
            write_record(training, describe(training, queries, validated, counts, imported=None))
            tracked.finish(model_hash())


def take(params: Params, folder: Path, queries: Queries) -> None:
    """Make an imported model the pre-trained one; the validation split says how well it does on this corpus."""
    stored, validation = load_model(folder), examples("validate")
    check_fit(stored, queries, validation)
    training = training_record(params, [*map(Path, INPUTS), VECTORS, folder])
    with training_run(training) as tracked:
        found = validate_imported(params, stored, validation, queries)
        names = stored.pathologies, stored.anatomies
        save_model(PRETRAINED / "best", stored.model.config, stored.model.state_dict(), *names, stored.extra)
        write_outputs_of_imported(params, found, queries, len(validation))
        write_record(training, describe(training, queries, found.aurocs(), {}, stored.extra["imported"]))
        tracked.log(found.aurocs(), 0)
        tracked.finish(model_hash())


def check_fit(stored: StoredModel, queries: Queries, validation: Examples) -> None:
    wanted, given = stored.model.config.text_size, queries.pathology_vectors.shape[1]
    if wanted != given:
        raise ModelError(
            f"The imported model takes prompt vectors of {wanted} values and the text encoder gives {given}: set "
            "text_encoder.source and text_encoder.pooling to those that it was trained with, as scale=paper does."
        )
    if (stored.pathologies, stored.anatomies) != (queries.pathologies, queries.anatomies):
        raise ModelError("data/query_sets.parquet is not of the imported model: run `dvc repro`.")
    if not len(validation):
        raise TrainingError("The validation split has no images to check the imported model on: give it some patients.")


def validate_imported(params: Params, stored: StoredModel, validation: Examples, queries: Queries) -> Validation:
    fabric = launch(1, 1, params.train.precision)
    prompts = queries.pathology_vectors.to(fabric.device), queries.anatomy_vectors.to(fabric.device)
    model, loss = cast(MeDSLIP, fabric.setup(stored.model)), recipe(params, queries).loss
    return validate(model, validation, prompts, loss, params.train.batch, params.seed, fabric)


def read_queries() -> Queries:
    table, vectors = read_table(Path("data/query_sets.parquet"), QUERY_SETS), load_file(VECTORS)
    return Queries(
        tuple(query_names(table, "pathology")),
        tuple(query_names(table, "anatomy")),
        vectors["pathology/explanation"],
        vectors["anatomy/template"],
    )


def recipe(params: Params, queries: Queries) -> Recipe:
    loss, model = params.loss.model_dump(), params.model.model_dump(exclude={"imported"})
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
    write_curves(pl.DataFrame(result.curves))
    metrics = {
        "train_images": train,
        "validation_images": validation,
        "steps": result.steps,
        "best_epoch": result.best_epoch,
        "criterion": result.criterion,
        "pathology_auroc": result.pathology_auroc,
        "anatomy_auroc": result.anatomy_auroc,
    }
    write_metrics(METRICS, metrics)


def write_outputs_of_imported(params: Params, found: Validation, queries: Queries, validation: int) -> None:
    columns = ["step", "epoch", *COLUMNS, "lr", "validation_loss", *found.aurocs()]
    write_curves(pl.DataFrame(schema=columns))  # no epochs, so no rows
    metrics = {
        "imported": params.model.imported,
        "validation_images": validation,
        "pathology_auroc": by_name(queries.pathologies, found.pathology_auroc),
        "anatomy_auroc": by_name(queries.anatomies, found.anatomy_auroc),
    }
    write_metrics(METRICS, metrics)


def write_curves(curves: pl.DataFrame) -> None:
    CURVES.parent.mkdir(parents=True, exist_ok=True)
    curves.write_csv(CURVES, float_precision=6)


def write_record(training: Training, card: CardInputs) -> None:
    TRAINING.write_text(json.dumps(asdict(training), indent=2, sort_keys=True) + "\n")
    (PRETRAINED / "README.md").write_text(model_card(card))


def describe(
    training: Training, queries: Queries, metrics: Mapping[str, float], counts: Mapping[str, int], imported: str | None
) -> CardInputs:
    return CardInputs(
        method="MeDSLIP",
        imported=imported,
        phantoms=Path("data/phantom/truth").is_dir(),
        model_hash=model_hash(),
        params=training.params,
        counts=counts,
        metrics=metrics,
        queries={"pathologies": queries.pathologies, "anatomies": queries.anatomies},
    )


if __name__ == "__main__":
    run(main)
