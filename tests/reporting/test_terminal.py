import io
from pathlib import Path
from shutil import copytree, ignore_patterns

import polars as pl
import pytest
from rich.console import Console

from pipeline import tracking
from pipeline.errors import PipelineError
from pipeline.reporting import terminal
from pipeline.reporting.results import ReportInputs, load_outcome

RUNS = pl.DataFrame({
    "name": ["medslip", "medslip icl=false"], "switches": ["", "icl=false"], "status": ["FINISHED"] * 2,
    "model_hash": ["a", "b"], "zero_shot.cxr14.auroc": [0.82, 0.80], "zero_shot.cxr14.f1": [0.3, 0.4],
})  # fmt: skip


def test_the_result_table_has_a_line_per_evaluation(inputs: ReportInputs) -> None:
    outcome = load_outcome(inputs.reports, inputs.params)
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(terminal.results_table(outcome))
    printed = console.export_text().splitlines()
    lines = [line for line in printed if "zero-shot" in line or "grounding" in line]
    assert [line.split()[2] for line in lines] == ["cxr14", "rsna", "siim", "covidx", "rsna"]
    assert f"{outcome.zero_shot['siim']['auroc']:.3f}" in lines[2]
    assert "0.140" in lines[4]  # chance
    (tenth,) = (line for line in printed if "finetune siim, 10 %" in line)
    assert "AUROC 0.800" in tenth
    assert "0.750 to 0.850" in tenth
    assert "0.600" in tenth
    (found,) = (line for line in printed if "retrieval" in line)
    assert "P@10 0.300" in found
    assert "0.040" in found


def test_a_clone_has_only_what_is_in_git_and_shows_its_results(
    inputs: ReportInputs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = Path(copytree(inputs.reports, tmp_path / "reports", ignore=ignore_patterns("*.parquet", "*.safetensors")))
    assert (reports / "embeddings.json").is_file()
    terminal.print_results(reports, inputs.params)
    assert "siim" in capsys.readouterr().out


def test_results_that_are_not_there_name_the_remedy(inputs: ReportInputs, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="run `dvc repro` first"):
        terminal.print_results(tmp_path, inputs.params)


def test_the_comparison_prints_runs_switches_and_published_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr(tracking, "runs", lambda: RUNS)
    terminal.print_comparison(None, terminal.Shown())
    text = capsys.readouterr().out
    assert text.index("icl=false") < text.index("published: MeDSLIP (MeDSLIP paper)")
    assert "on other data" in text


def test_the_comparison_of_five_metrics_is_whole_in_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = [*(f"zero_shot.{name}.auroc" for name in ("rsna", "siim", "covidx")), "grounding.rsna.pointing_game"]
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(tracking, "runs", lambda: RUNS.with_columns(pl.lit(0.5).alias(name) for name in metrics))
    terminal.print_comparison(None, terminal.Shown())
    text = capsys.readouterr().out
    assert "…" not in text
    assert {"medslip", "icl=false"} <= {*text.split()}


def test_the_comparison_in_markdown_sorts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tracking, "runs", lambda: RUNS)
    terminal.print_comparison("zero_shot.cxr14.f1", terminal.Shown(markdown=True))
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| run, switches changed | cxr14.f1 |")
    assert lines[4].startswith("| medslip icl=false | **0.400** |")


def test_nothing_to_compare_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "runs", lambda: RUNS.clear())
    with pytest.raises(PipelineError, match="no evaluated run"):
        terminal.print_comparison(None, terminal.Shown())
