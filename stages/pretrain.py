"""Pre-train on the training split; the validation split chooses the best weights. Or take an imported model."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import polars as pl

from pipeline.errors import ModelError, TrainingError
from pipeline.imported import imported_folder
from pipeline.model_card import CardInputs, model_card
from pipeline.networks.io import StoredModel, load_medslip, save_model
from pipeline.params import Params
from pipeline.tracking import Training, project_root, training_run
from pipeline.training.checkpoints import remove_checkpoints
from pipeline.training.data import Examples
from pipeline.training.loop import Result, TrainConfig, pretrain
from pipeline.training.medslip import MeDSLIPMethod
from pipeline.training.method import Method
from pipeline.training.processes import launch
from pipeline.training.validation import Validation, by_name
from stages import medfilip, medslip
from stages.common import run, stage_params, write_metrics
from stages.determinism import fix_torch
from stages.trained import PRETRAINED, TRAINING, model_hash, training_record

CURVES, METRICS = Path("reports/pretrain/curves.csv"), Path("reports/pretrain/metrics.json")
SHARED_INPUTS = (Path("data/corpus"), Path("data/images/corpus"))
METHODS = {"medslip": medslip, "medfilip": medfilip}
PLURAL = {"pathology": "pathologies", "anatomy": "anatomies"}


def main() -> None:
    params = stage_params(
        "seed", "threads", "method", "scale", "corpus", "labels", "knowledge", "model", "loss", "train", "augment",
        "images", "extraction", "query_sets", "text_encoder",
    )  # fmt: skip
    fix_torch(params)
    if params.model.imported:
        take(params, imported_folder(params.model.imported))
    else:
        train(params, METHODS[params.method])


def train(params: Params, chosen: ModuleType) -> None:
    training = training_record(params, [*SHARED_INPUTS, *chosen.INPUTS])
    method, config = chosen.method(params), TrainConfig(seed=params.seed, **params.train.model_dump())
    learned, validation = chosen.examples("train"), chosen.examples("validate")
    fabric = launch(params.train.devices, params.train.nodes, params.train.precision)
    with training_run(training, fabric.is_global_zero) as tracked:
        checkpoints = project_root() / ".checkpoints/pretrain" / training.key  # a copy that DVC runs in does not stay
        result = pretrain(method, config, learned, validation, PRETRAINED, checkpoints, tracked.log, fabric)
        if fabric.is_global_zero:
            write_outputs(result, len(learned), len(validation))
            best = result.curves[result.best_epoch - 1]
            validated = {name: value for name, value in best.items() if name.startswith("validation")}
            counts = json.loads(Path("reports/corpus.json").read_text())
            write_record(training, describe(training, chosen.NAME, method, validated, counts, imported=None))
            tracked.finish(model_hash())
            remove_checkpoints(checkpoints)  # last: whatever fails before it costs no training


def take(params: Params, folder: Path) -> None:
    """Make an imported model the pre-trained one; the validation split says how well it does on this corpus."""
    stored, method, validation = load_medslip(folder), medslip.method(params), medslip.examples("validate")
    check_fit(stored, method, validation)
    training = training_record(params, [*SHARED_INPUTS, *medslip.INPUTS, folder])
    with training_run(training) as tracked:
        found = validate_imported(params, stored, method, validation)
        names = stored.pathologies, stored.anatomies
        save_model(PRETRAINED / "best", stored.model.config, stored.model.state_dict(), *names, stored.extra)
        write_outputs_of_imported(params, found, method, len(validation))
        imported = stored.extra["imported"]
        write_record(training, describe(training, medslip.NAME, method, found.aurocs(), {}, imported))
        tracked.log(found.aurocs(), 0)
        tracked.finish(model_hash())


def check_fit(stored: StoredModel, method: MeDSLIPMethod, validation: Examples) -> None:
    wanted, given = stored.model.config.text_size, method.model.text_size
    if wanted != given:
        raise ModelError(
            f"The imported model takes prompt vectors of {wanted} values and the text encoder gives {given}: set "
            "text_encoder.source and text_encoder.pooling to those that it was trained with, as scale=paper does."
        )
    if method.queries != {"pathology": stored.pathologies, "anatomy": stored.anatomies}:
        raise ModelError("data/query_sets.parquet is not of the imported model: run `dvc repro`.")
    if not len(validation):
        raise TrainingError("The validation split has no images to check the imported model on: give it some patients.")


def validate_imported(params: Params, stored: StoredModel, method: Method, validation: Examples) -> Validation:
    fabric = launch(1, 1, params.train.precision)
    method.to(fabric.device)
    return method.validate(fabric.setup(stored.model), validation, params.train.batch, fabric)


def write_outputs(result: Result, train: int, validation: int) -> None:
    write_curves(pl.DataFrame(result.curves))
    metrics = {
        "train_images": train,
        "validation_images": validation,
        "steps": result.steps,
        "best_epoch": result.best_epoch,
        "criterion": result.criterion,
        **{f"{kind}_auroc": values for kind, values in result.auroc.items()},
    }
    write_metrics(METRICS, metrics)


def write_outputs_of_imported(params: Params, found: Validation, method: Method, validation: int) -> None:
    columns = ["step", "epoch", *method.terms, "loss", "gradient_norm", "lr", "validation_loss", *found.aurocs()]
    write_curves(pl.DataFrame(schema=columns))  # no epochs, so no rows
    metrics = {
        "imported": params.model.imported,
        "validation_images": validation,
        **{f"{kind}_auroc": by_name(method.queries[kind], values) for kind, values in found.auroc.items()},
    }
    write_metrics(METRICS, metrics)


def write_curves(curves: pl.DataFrame) -> None:
    CURVES.parent.mkdir(parents=True, exist_ok=True)
    curves.write_csv(CURVES, float_precision=6)


def write_record(training: Training, card: CardInputs) -> None:
    TRAINING.write_text(json.dumps(asdict(training), indent=2, sort_keys=True) + "\n")
    (PRETRAINED / "README.md").write_text(model_card(card))


def describe(
    training: Training,
    name: str,
    method: Method,
    metrics: Mapping[str, float],
    counts: Mapping[str, int],
    imported: str | None,
) -> CardInputs:
    return CardInputs(
        method=name,
        imported=imported,
        phantoms=Path("data/phantom/truth").is_dir(),
        model_hash=model_hash(),
        params=training.params,
        counts=counts,
        metrics=metrics,
        queries={PLURAL[kind]: names for kind, names in method.queries.items()},
    )


if __name__ == "__main__":
    run(main)
