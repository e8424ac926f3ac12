from pathlib import Path

from pipeline.evaluation.results import write_results
from pipeline.reporting.plots import write_plots


def tuned(low: float, high: float) -> dict:
    runs = {"pretrained": {"10": {"auroc": high}, "1": {"auroc": low}}, "random": {"10": {"auroc": low}}}
    return {"auroc_1": low, "runs": runs}


def test_findings_are_rows_and_fine_tuning_a_mean_over_benchmarks(tmp_path: Path) -> None:
    write_results({"per_class": {"mass": {"auroc": 0.75}, "edema": {"auroc": 0.5}}}, tmp_path / "zero_shot/cxr14.json")
    write_results(tuned(0.6, 0.8), tmp_path / "finetune/cxr14.json")
    write_results(tuned(0.7, 0.9), tmp_path / "finetune/siim.json")
    write_plots(tmp_path, {"zero_shot": ["cxr14"], "finetune": ["cxr14", "siim"], "grounding": ["rsna"]})
    assert (tmp_path / "plots/per_finding.csv").read_text().splitlines() == [
        "finding,auroc", "cxr14 edema,0.500000", "cxr14 mass,0.750000",
    ]  # fmt: skip
    assert (tmp_path / "plots/data_efficiency.csv").read_text().splitlines() == [
        "percent,pretrained,random", "1,0.650000,", "10,0.850000,0.650000",
    ]  # fmt: skip


def test_without_fine_tuning_its_table_is_empty(tmp_path: Path) -> None:
    write_plots(tmp_path, {"zero_shot": []})
    assert (tmp_path / "plots/data_efficiency.csv").read_text() == "percent\n"
