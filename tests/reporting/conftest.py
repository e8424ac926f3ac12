"""A reports folder as the stages write it, from scores drawn at random: no images of anybody, no training."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pipeline import schemas
from pipeline.evaluation.classification import summarise
from pipeline.evaluation.results import write_results
from pipeline.reporting.results import ReportInputs

SEVERITIES = ("subtle", "mild", "moderate", "severe")
FINDINGS = {
    "cxr14": ("atelectasis", "cardiomegaly", "pleural effusion", "infiltrate", "mass", "nodule", "pneumonia",
              "pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural thickening", "hernia"),
    "rsna": ("pneumonia",),
    "siim": ("pneumothorax",),
    "covidx": ("covid-19",),
}  # fmt: skip
PARAMS = {
    "method": "medslip",
    "scale": "demo",
    "seed": 0,
    "data": {"root": "data/phantom"},
    "corpus": {"name": "mimic_cxr"},
    "model": {"disentangle": True},
    "loss": {"icl": True, "protocl": True},
    "benchmarks": {name: {} for name in FINDINGS},
    "grounding": ["rsna"],
}


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """A complete run on phantoms."""
    folder = tmp_path_factory.mktemp("run")
    reports, sheet = folder / "reports", folder / "contact_sheet.png"
    write_reports(reports)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (160, 320), np.uint8)).save(sheet)
    return ReportInputs(reports, sheet, PARAMS)


def write_reports(reports: Path, images: int = 240) -> None:
    """Write every file that a report reads."""
    rng = np.random.default_rng(1)
    for name, findings in FINDINGS.items():
        write_benchmark(reports / "zero_shot" / f"{name}.json", findings, images, rng)
    write_grounding(reports / "grounding", rng)
    write_training(reports, rng)
    extracted = {f"{kind}_{name}": 0.93 for kind in ("micro", "macro") for name in ("precision", "recall", "f1")}
    write_results(
        {"studies": 2000, "triplets": extracted, "pathology_existence": extracted, "per_pathology": {}},
        reports / "triplets.json",
    )


def write_benchmark(path: Path, findings: tuple[str, ...], images: int, rng: np.random.Generator) -> None:
    ids = [f"image{number:04d}" for number in range(2 * images)]
    split = ["validate", "test"] * images
    tables = [finding_scores(name, ids, split, rng) for name in findings]
    people = pl.DataFrame({
        "image_id": ids, "patient_id": ids, "split": split, "sex": ["F", "M", "M", "F"] * (images // 2),
        "age": [50.0] * len(ids), "view": ["PA"] * len(ids),
    })  # fmt: skip
    scores = pl.concat(tables)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_results(summarise(scores, people, path.stem, resamples=50) | {"prompt_style": "explanation"}, path)
    schemas.write_table(scores, path.with_suffix(".parquet"), schemas.SCORES)


def finding_scores(name: str, ids: list[str], split: list[str], rng: np.random.Generator) -> pl.DataFrame:
    label = (rng.random(len(ids)) < 0.3).astype(np.int8)
    level = rng.integers(0, 4, len(ids))
    logit = rng.normal(-1, 1, len(ids)) + label * (0.4 + 0.6 * level)
    severity = [SEVERITIES[one] if present else None for one, present in zip(level, label, strict=True)]
    return pl.DataFrame({
        "image_id": ids, "patient_id": ids, "split": split, "finding": [name] * len(ids), "label": label,
        "score": (1 / (1 + np.exp(-logit))).astype(np.float32), "severity": severity,
    }, schema_overrides={"severity": pl.String})  # fmt: skip


def write_grounding(folder: Path, rng: np.random.Generator) -> None:
    metrics = {"pointing_game": 0.62, "iou": 0.31, "dice": 0.45, "iou_oracle": 0.33, "dice_oracle": 0.47}
    write_results({
        **metrics,
        "chance": {"pointing_game": 0.14, "iou": 0.12, "dice": 0.2},
        "intervals": {name: [value - 0.05, value + 0.05] for name, value in metrics.items()},
        "counts": {"pairs": 80, "images": 80, "patients": 80, "validation_pairs": 40, "resamples": 50},
        "per_class": {"pneumonia": metrics},
        "by_severity": {},
        "notes": [],
    }, folder / "rsna.json")  # fmt: skip
    y, x = np.mgrid[:112, :112]
    films = 200 * np.exp(-(((x - 34) / 22) ** 2 + ((y - 56) / 40) ** 2)) + 200 * np.exp(
        -(((x - 78) / 22) ** 2 + ((y - 56) / 40) ** 2)
    )
    np.savez(
        folder / "rsna.npz",
        images=np.stack([255 - np.clip(films + rng.normal(0, 8, films.shape), 0, 255)] * 4).astype(np.uint8),
        maps=rng.random((4, 7, 7)).astype(np.float32),
        boxes=np.array([[0, 20, 60, 30, 25], [0, 70, 50, 20, 30], [1, 65, 30, 25, 25], [3, 60, 60, 25, 25]], float),
        captions=np.array([f"pneumonia, {severity}" for severity in SEVERITIES]),
    )  # fmt: skip


def write_training(reports: Path, rng: np.random.Generator) -> None:
    (reports / "pretrain").mkdir(parents=True, exist_ok=True)
    epoch = np.arange(1, 13)
    fall = np.exp(-epoch / 5)
    pl.DataFrame({
        "step": epoch * 50, "epoch": epoch, "loss": 2 * fall + 1, "validation_loss": 1.8 * fall + 1.2,
        "validation_auroc_pathology": 0.85 - 0.3 * fall, "validation_auroc_anatomy": 0.8 - 0.3 * fall,
    }).write_csv(reports / "pretrain" / "curves.csv")  # fmt: skip
    metrics = {"train_images": 1724, "validation_images": 210, "steps": 600, "best_epoch": 11, "criterion": "auroc"}
    (reports / "pretrain" / "metrics.json").write_text(json.dumps(metrics))
    points = pl.DataFrame({
        "stream": ["pathology"] * 150 + ["anatomy"] * 150, "query": ["mass"] * 300, "image_id": ["a"] * 300,
        "x": np.concatenate([rng.normal(-2, 1.4, 150), rng.normal(2, 1.4, 150)]), "y": rng.normal(0, 2, 300),
    })  # fmt: skip
    schemas.write_table(points, reports / "embeddings.parquet", schemas.POINTS)
    write_results({"silhouette": 0.41}, reports / "embeddings.json")
    write_results({"images": 2150, "studies": 2000, "patients": 1200}, reports / "corpus.json")
