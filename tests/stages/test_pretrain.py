"""The stage itself, in a project of a few drawn images."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tiny_medfilip
import torch
import yaml
from mlflow import MlflowClient
from PIL import Image

from pipeline import schemas
from pipeline.images.shards import build_shards
from pipeline.losses.medslip import TERMS
from pipeline.networks.io import StoredMedFILIP, load_model, load_tokenizer
from pipeline.networks.medfilip import text_transformer
from pipeline.params import compose
from pipeline.semantics.vectors import write_vectors

ROOT = Path(__file__).parents[2]
IMAGES = 60
QUERIES = [("pathology", 0, "edema"), ("pathology", 1, "mass"), ("anatomy", 0, "lung"), ("anatomy", 1, "other")]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Everything that the stage reads, and this code."""
    for name in ("pipeline", "stages", "conf"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "dvc.yaml").touch()
    images = draw_images(tmp_path)
    rng = np.random.default_rng(0)
    existence = images.select("study_id", anatomy=pl.lit(0, pl.Int16), pathology=pl.lit(0, pl.Int16))
    existence = existence.with_columns(value=pl.Series(rng.integers(0, 2, IMAGES), dtype=pl.Int8))
    schemas.write_table(existence, tmp_path / "data/existence.parquet", schemas.EXISTENCE)
    queries = pl.DataFrame(QUERIES, schema={"kind": pl.String, "index": pl.Int32, "name": pl.String}, orient="row")
    queries = queries.with_columns(count=pl.lit(1, pl.Int64), prompt="name")
    schemas.write_table(queries, tmp_path / "data/query_sets.parquet", schemas.QUERY_SETS)
    store_labels(tmp_path)
    vectors = {"pathology/explanation": torch.randn(2, 8), "anatomy/template": torch.randn(2, 8)}
    write_vectors(vectors, tmp_path / "models/prompts.safetensors")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/corpus.json").write_text(json.dumps({"images": IMAGES}))
    return tmp_path


def store_labels(project: Path) -> None:
    """Every image has an edema or a mass, as texts of a tiny encoder."""
    texts = pl.DataFrame({"category": ["edema", "mass"], "text": ["white edema.", "round mass."]})
    index = pl.Series("index", [0, 1], dtype=pl.Int32)
    texts = texts.with_columns(index, plain=index, mirror=index, location=pl.lit(None, pl.String))
    texts = texts.with_columns(severity=pl.lit(None, pl.String))
    schemas.write_table(texts, project / "data/labels/texts.parquet", schemas.LABEL_TEXTS)
    names = [f"{number}.png" for number in range(IMAGES)]
    kinds = pl.Series([number // 3 % 2 for number in range(IMAGES)], dtype=pl.Int32)
    found = pl.DataFrame({"study_id": names, "label": kinds}).with_columns(state=pl.lit("present"))
    schemas.write_table(found, project / "data/labels/labels.parquet", schemas.STUDY_LABELS)
    found = found.rename({"label": "category"})
    schemas.write_table(found, project / "data/labels/findings.parquet", schemas.FINDINGS)
    write_vectors({"labels": torch.eye(2, 8)}, project / "models/label_vectors.safetensors")
    torch.manual_seed(0)
    text_transformer(tiny_medfilip.CONFIG.text).save_pretrained(project / "models/text_encoder")
    tiny_medfilip.tokenizer().save_pretrained(project / "models/text_encoder")


def draw_images(project: Path) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(IMAGES)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(project / name)
    images = pl.DataFrame({
        "image_id": names, "study_id": names, "patient_id": names, "path": names,
        "split": ["train", "train", "validate"] * (IMAGES // 3),
    }).with_columns(bytes=pl.lit(1, pl.Int64), view=pl.lit("PA"), sex=pl.lit("F"), age=pl.lit(50.0))  # fmt: skip
    schemas.write_table(images, project / "data/corpus/images.parquet", schemas.IMAGES)
    out = project / "data/images/corpus"
    build_shards(images, project, out, size=32, workers=1, max_broken=0, cache=project / "cache")
    return images


def pretrain(project: Path, *overrides: str, fails: bool = False) -> str:
    """Run the stage; what it printed."""
    tiny = ["scale=tiny", "train.epochs=2", "train.batch=8", "train.log_every=2", "threads=1", "model.depths=[1,1]"]
    text, _ = compose(ROOT / "conf", [*tiny, "model.widths=[8,16]", *overrides])
    (project / "params.yaml").write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-m", "stages.pretrain"]
    done = subprocess.run(
        command,
        cwd=project,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr


def test_of_two_processes_one_logs_all_curves_to_one_run(project: Path) -> None:
    pretrain(project, "train.devices=2")
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'cxr'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    steps = {name: [point.step for point in client.get_metric_history(run.info.run_id, name)] for name in curves(run)}
    logged = (*TERMS, "loss", "lr", "gradient_norm", "images_per_second", "loader_wait")
    assert {name: steps[f"training/{name}"] for name in logged} == {name: [2, 4, 5, 6, 8, 10] for name in logged}
    validated = ("validation_loss", *(f"validation_{name}" for name in TERMS), "validation_auroc_pathology")
    assert {name: steps[f"training/{name}"] for name in validated} == {name: [5, 10] for name in validated}
    assert (project / "models/pretrained/best/model.safetensors").is_file()
    assert yaml.safe_load((project / "reports/pretrain/metrics.json").read_text())["steps"] == 10


def test_a_disk_that_fills_up_after_the_training_costs_none_of_it(project: Path) -> None:
    record = project / "models/pretrained/training.json"
    record.parent.mkdir(parents=True)
    record.symlink_to("/dev/full")
    assert "No space left on device" in pretrain(project, fails=True)
    best, curves = project / "models/pretrained/best/model.safetensors", project / "reports/pretrain/curves.csv"
    first = best.read_bytes(), curves.read_bytes()
    shutil.rmtree(project / "models/pretrained")  # as DVC does before it runs a stage again
    curves.unlink()
    assert "Resumed after step 10 of 10" in pretrain(project)
    assert (best.read_bytes(), curves.read_bytes()) == first
    assert record.is_file()
    assert not any((project / ".checkpoints/pretrain").iterdir())


def test_medfilip_leaves_a_model_that_loads_alone(project: Path) -> None:
    pretrain(project, "method=medfilip")
    stored = load_model(project / "models/pretrained/best")
    assert isinstance(stored, StoredMedFILIP)
    assert stored.categories == ("edema", "mass")
    assert load_tokenizer(stored.tokenizer)("mass")["input_ids"] == tiny_medfilip.tokenizer()("mass")["input_ids"]
    columns = set(pl.read_csv(project / "reports/pretrain/curves.csv").columns)
    assert {"itm_mse", "itm_ce", "validation_loss", "validation_auroc_pathology"} <= columns
    metrics = json.loads((project / "reports/pretrain/metrics.json").read_text())
    assert set(metrics["pathology_auroc"]) == {"edema", "mass"}
    card = (project / "models/pretrained/README.md").read_text()
    assert card.startswith("# MedFILIP pre-trained on")
    assert "2 pathologies: edema, mass." in card
    training = json.loads((project / "models/pretrained/training.json").read_text())
    assert training["params"]["method"] == training["defaults"]["method"] == "medfilip"


def curves(run) -> list[str]:
    return [name for name in run.data.metrics if name.startswith("training/")]
