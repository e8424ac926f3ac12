"""A reports folder as the stages write it, from scores drawn at random: no images of anybody, no training."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pipeline import schemas
from pipeline.evaluation.classification import headline, summarise
from pipeline.evaluation.common_findings import COMMON, common_subset
from pipeline.evaluation.results import write_results
from pipeline.evaluation.segmentation import EMPTY_MASK_RULE
from pipeline.evaluation.zero_shot import style_sensitivity
from pipeline.pictures import write_pictures
from pipeline.reporting.results import ReportInputs

FINDINGS = {
    "cxr14": ("atelectasis", "cardiomegaly", "pleural effusion", "infiltrate", "mass", "nodule", "pneumonia",
              "pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural thickening", "hernia"),
    "rsna": ("pneumonia",),
    "siim": ("pneumothorax",),
    "covidx": ("covid-19",),
}  # fmt: skip
STYLES = ["template", "fine-grained"]  # of label texts
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
    "finding_maps": ["cxr14"],
    "corpus_benchmarks": [],
    "retrieval": ["corpus"],
    "unseen": ["covidx"],
    "finetune": {"benchmarks": ["cxr14", "siim"], "segmentation": ["siim"]},
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
    write_downstream(reports, rng)
    write_spaces(reports, rng)
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
    noise = pl.lit(rng.normal(0, 0.2, scores.height)).cast(pl.Float32)
    styled = {"name": scores.with_columns((pl.col("score") + noise).clip(0, 1)), "explanation": scores}
    styles = {style: headline(table, path.stem, resamples=50) for style, table in styled.items()}
    described = {
        "prompt_style": "explanation",
        "by_prompt_style": {style: one.metrics for style, one in styles.items()},
        "prompt_sensitivity": style_sensitivity({style: one.aurocs for style, one in styles.items()}),
    }
    metrics = summarise(scores, people, path.stem, resamples=50) | described
    if path.stem in COMMON:
        metrics[f"common{COMMON[path.stem]}"] = common_subset(metrics, COMMON[path.stem])
    write_results(metrics, path)
    schemas.write_table(scores, path.with_suffix(".parquet"), schemas.SCORES)


def finding_scores(name: str, ids: list[str], split: list[str], rng: np.random.Generator) -> pl.DataFrame:
    label = (rng.random(len(ids)) < 0.3).astype(np.int8)
    level = rng.integers(0, 4, len(ids))
    logit = rng.normal(-1, 1, len(ids)) + label * (0.4 + 0.6 * level)
    severity = [schemas.SEVERITIES[one] if present else None for one, present in zip(level, label, strict=True)]
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
        "per_class": {
            name: metrics | {"chance": {"pointing_game": 0.1}, "intervals": {"pointing_game": low_high}, "pairs": 40}
            for name, low_high in (("pneumonia", [0.5, 0.7]), ("mass", [0.05, 0.9]))
        },
        "by_severity": {},
        "notes": [],
    }, folder / "rsna.json")  # fmt: skip
    y, x = np.mgrid[:112, :112]
    films = 200 * np.exp(-(((x - 34) / 22) ** 2 + ((y - 56) / 40) ** 2)) + 200 * np.exp(
        -(((x - 78) / 22) ** 2 + ((y - 56) / 40) ** 2)
    )
    boxes = [[0, 20, 60, 30, 25], [0, 70, 50, 20, 30], [1, 65, 30, 25, 25], [3, 60, 60, 25, 25]]
    write_pictures(folder / "rsna.safetensors", [f"pneumonia, {severity}" for severity in schemas.SEVERITIES], {
        "images": np.stack([255 - np.clip(films + rng.normal(0, 8, films.shape), 0, 255)] * 4).astype(np.uint8),
        "maps": rng.random((4, 7, 7)).astype(np.float32), "boxes": np.array(boxes, float),
    })  # fmt: skip


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


def write_downstream(reports: Path, rng: np.random.Generator) -> None:
    """Fine-tuned classification and segmentation, and retrieval."""
    levels = {"pretrained": {"1": 0.7, "10": 0.8, "100": 0.9}, "random": {"1": 0.55, "10": 0.6, "100": 0.75}}
    gains = {"random": {percent: {"interval": [0.05, 0.25], "p": 0.01} for percent in ("1", "10", "100")}}

    def runs(*names: str) -> dict[str, dict[str, dict[str, object]]]:
        return {
            init: {
                percent: {"images": 6 * int(percent)}
                | dict.fromkeys(names, value)
                | {f"{name}_interval": [value - 0.05, value + 0.05] for name in names}
                for percent, value in rows.items()
            }
            for init, rows in levels.items()
        }

    for name in PARAMS["finetune"]["benchmarks"]:
        differences = {"random": {percent: row | {"auroc": 0.15} for percent, row in gains["random"].items()}}
        results = {"auroc_1": 0.7, "encoder": "frozen", "runs": runs("auroc"), "differences": differences, "notes": []}
        write_results(results, reports / "finetune" / f"{name}.json")
    rows = runs("dice")
    for init, percents in levels.items():  # on positive images 0.2 lower
        for percent, value in percents.items():
            own = {"dice_positive": value - 0.2, "dice_positive_interval": [value - 0.3, value - 0.1]}
            rows[init][percent] |= own
    differences, positive = (
        {"random": {percent: {"dice": 0.15, "interval": interval, "p": 0.01} for percent in ("1", "10", "100")}}
        for interval in ([0.05, 0.25], [0.08, 0.22])
    )
    outlined = {
        "dice_1": 0.7, "runs": rows, "differences": differences, "differences_positive": positive,
        "dice_without_any_mask": 0.66, "empty_mask_rule": EMPTY_MASK_RULE, "notes": [],
    }  # fmt: skip
    write_results(outlined, reports / "segmentation" / "siim.json")
    truth, predicted = np.zeros((2, 4, 32, 32), bool)
    truth[:2, 8:16, 8:16], predicted[1:3, 8:16, 12:20] = True, True
    arrays = {"images": rng.integers(0, 255, (4, 32, 32), np.uint8), "truth": truth, "predicted": predicted}
    captions = ["missed", "half", "invented", "empty"]
    write_pictures(reports / "segmentation" / "siim.safetensors", captions, arrays)
    direction = {f"p_at_{rank}": 0.3 for rank in (1, 3, 10)} | {f"chance_p_at_{rank}": 0.04 for rank in (1, 3, 10)}
    direction |= {"best_p_at_10": 0.4, "hits_at_10": 0.55}
    both = {key: direction | {"p_at_10_interval": [0.25, 0.35]} for key in ("image_to_text", "text_to_image")}
    write_results({**both, "p_at_10": 0.3, "chance_p_at_10": 0.04, "pairs": 812}, reports / "retrieval" / "corpus.json")
    write_unseen(reports / "unseen" / "covidx.json")


def write_unseen(path: Path) -> None:
    """One disease asked for in four ways; whose AUROC is whose can be told."""
    gains = {"name": 0.16, "known_explanation": 0.08}
    against = {
        name: {"difference": gain, "interval": [gain - 0.1, gain + 0.1], "p": 0.03} for name, gain in gains.items()
    }
    aurocs = {"category": 0.61, "known_explanation": 0.75, "name": 0.67, "explanation": 0.83}
    tested = {"difference": 0.22, "interval": [0.12, 0.32], "p": 0.01, "against": against}
    write_results(aurocs | tested | {"texts": {"category": "There is pneumonia."}}, path)


def write_spaces(reports: Path, rng: np.random.Generator) -> None:
    """UMAP per finding, and the similarity of label texts."""
    per_class = {"mass": {"silhouette": 0.1, "healthy": 40, "diseased": 30},
                 "edema": {"silhouette": 0.6, "healthy": 40, "diseased": 30},
                 "hernia": {"silhouette": 0.3, "healthy": 40, "diseased": 30}}  # fmt: skip
    points = pl.DataFrame({
        "finding": [name for name in per_class for _ in range(70)], "group": (["healthy"] * 40 + ["diseased"] * 30) * 3,
        "image_id": ["a"] * 210, "x": rng.normal(0, 1, 210), "y": rng.normal(0, 1, 210),
    })  # fmt: skip
    write_results({"silhouette": 1 / 3, "per_class": per_class, "notes": []}, reports / "finding_maps" / "cxr14.json")
    schemas.write_table(points, reports / "finding_maps" / "cxr14.parquet", schemas.FINDING_POINTS)
    matrix = [[1.0, 0.7, 0.2], [0.7, 1.0, 0.3], [0.2, 0.3, 1.0]]
    study = {"texts": ["mild edema", "severe edema", "hernia"], "styles": STYLES,
             "similarity": dict.fromkeys(STYLES, matrix),
             "contrast": {model: {style: {"within": 0.7 - cut, "between": 0.25 - cut} for style in STYLES}
                          for model, cut in (("frozen", 0.0), ("trained", 0.2))}}  # fmt: skip
    write_results(study, reports / "case_study.json")
