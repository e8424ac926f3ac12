from pathlib import Path

import polars as pl
import pytest
import yaml

from pipeline.evaluation.results import write_results
from pipeline.reporting.plots import write_plots

DVC = Path(__file__).parents[2] / "dvc.yaml"


def tuned(low: float, high: float) -> dict:
    runs = {"pretrained": {"10": {"auroc": high}, "1": {"auroc": low}}, "random": {"10": {"auroc": low}}}
    return {"auroc_1": low, "runs": runs}


def test_findings_are_rows_and_fine_tuning_a_mean_over_benchmarks(tmp_path: Path) -> None:
    write_results({"per_class": {"mass": {"auroc": 0.75}, "edema": {"auroc": 0.5}}}, tmp_path / "zero_shot/cxr14.json")
    write_results(tuned(0.6, 0.8), tmp_path / "finetune/cxr14.json")
    write_results(tuned(0.7, 0.9), tmp_path / "finetune/siim.json")
    write_plots(tmp_path, {"zero_shot": ["cxr14"], "finetune": ["cxr14", "siim"], "grounding": ["rsna"]}, None)
    assert (tmp_path / "plots/per_finding.csv").read_text().splitlines() == [
        "finding,auroc", "cxr14 edema,0.500000", "cxr14 mass,0.750000",
    ]  # fmt: skip
    assert (tmp_path / "plots/data_efficiency.csv").read_text().splitlines() == [
        "percent,pretrained,random", "1,0.650000,", "10,0.850000,0.650000",
    ]  # fmt: skip


def test_without_fine_tuning_its_table_is_empty(tmp_path: Path) -> None:
    write_plots(tmp_path, {"zero_shot": []}, None)
    assert (tmp_path / "plots/data_efficiency.csv").read_text() == "percent\n"


@pytest.mark.parametrize(
    ("terms", "kinds"),
    [(["existence_pathology", "icl"], ["pathology", "anatomy"]), (["itm_mse", "itm_ce"], ["pathology"])],
)
def test_each_method_has_the_curves_of_its_own_terms_and_queries(tmp_path: Path, terms: list, kinds: list) -> None:
    write_plots(tmp_path, {}, pl.DataFrame({"epoch": [1], "loss": [0.5], "validation_loss": [0.5], "gone": [1.0],
                                            "validation_gone": [1.0]}))  # fmt: skip
    validated = {f"validation_{name}": [0.25] for name in ("loss", *terms, *(f"auroc_{kind}" for kind in kinds))}
    curves = {"step": [9], "epoch": [1], **{name: [0.5] for name in (*terms, "loss", "gradient_norm", "lr")}}
    write_plots(tmp_path, {}, pl.DataFrame(curves | validated))
    assert {path.stem for path in (tmp_path / "plots/loss_terms").iterdir()} == set(terms)
    assert {path.stem for path in (tmp_path / "plots/validation_auroc").iterdir()} == set(kinds)
    drawn = {name: plot for entry in yaml.safe_load(DVC.read_text())["plots"] for name, plot in entry.items()}
    for folder in ("loss_terms", "validation_auroc"):
        for table in (tmp_path / "plots" / folder).iterdir():
            y = drawn[f"reports/plots/{folder}"]["y"]
            assert pl.read_csv(table).columns == ["epoch", *([y] if isinstance(y, str) else y)]
    first = (tmp_path / f"plots/loss_terms/{terms[0]}.csv").read_text()
    assert first == "epoch,training,validation\n1,0.500000,0.250000\n"
