"""The real `dvc repro` on a clean copy of the project, at a tiny scale."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from pipeline.schemas import EXISTENCE, QUERY_SETS, SCORES, TRIPLETS, read_table

ROOT = Path(__file__).parents[2]
BENCHMARKS = ("cxr14", "rsna", "siim", "covidx")


def run(folder: Path, *command: str, code: int = 0) -> str:
    """Run a command of the virtual environment in the copied project; return what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": ""}
    environment.pop("MLFLOW_TRACKING_URI")
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    return output


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of this working tree's own files, after `dvc repro` at scale=tiny."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.email", "test@example.org")
    run(folder, "git", "config", "user.name", "Test")
    run(folder, "cxr", "compose", "scale=tiny")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "start")
    run(folder, "dvc", "repro")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "results")
    return folder


def test_every_stage_leaves_checked_files(project: Path) -> None:
    assert len(read_table(project / "data/triplets.parquet", TRIPLETS)) > 0
    queries = read_table(project / "data/query_sets.parquet", QUERY_SETS)
    assert queries.filter(pl.col("kind") == "anatomy")["name"][-1] == "other"
    assert len(read_table(project / "data/existence.parquet", EXISTENCE)) > 0
    for name in BENCHMARKS:
        scores = read_table(project / f"reports/zero_shot/{name}.parquet", SCORES)
        assert scores["score"].is_between(0, 1).all()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_metrics_are_plain_numbers_with_intervals(project: Path, name: str) -> None:
    metrics = json.loads((project / f"reports/zero_shot/{name}.json").read_text())
    for metric in ("auroc", "f1", "accuracy", "f1_oracle", "accuracy_oracle"):
        assert 0 <= metrics[metric] <= 1
    low, high = metrics["intervals"]["auroc"]
    assert low <= metrics["auroc"] <= high


def test_grounding_has_chance_beside_it(project: Path) -> None:
    metrics = json.loads((project / "reports/grounding/rsna.json").read_text())
    for metric in ("pointing_game", "iou", "dice"):
        assert 0 <= metrics[metric] <= 1
        assert 0 <= metrics["chance"][metric] <= 1


def test_nothing_changed_means_nothing_runs(project: Path) -> None:
    assert "Running stage" not in run(project, "dvc", "repro")
    assert "up to date" in run(project, "dvc", "status")


def test_the_page_is_self_contained_and_holds_no_report(project: Path) -> None:
    page = (project / "reports/index.html").read_text()
    assert 'src="http' not in page
    reports = pl.read_parquet(project / "data/corpus/studies.parquet")["report"]
    assert not any(report[:80] in page for report in reports if len(report) > 80)


def test_an_experiment_reruns_training_and_what_follows(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "--temp", "-S", "scale=tiny", "-S", "loss.icl=false")
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert "pretrain" in ran
    assert not ran & {"phantom", "corpus", "images", "triplets", "query_sets", "existence", "text_encoder", "prompts"}
    assert {"zero_shot@cxr14", "grounding@rsna", "report"} <= ran
    compared = run(project, "cxr", "compare", "--markdown")
    assert "icl=false" in compared


def test_push_and_pull_restore_every_artefact(project: Path, tmp_path: Path) -> None:
    run(project, "dvc", "remote", "add", "-f", "-d", "local", str(tmp_path / "remote"))
    run(project, "dvc", "push")
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(project), str(clone))
    run(clone, "dvc", "remote", "add", "-f", "-d", "local", str(tmp_path / "remote"))
    run(clone, "dvc", "pull")
    assert "Running stage" not in run(clone, "dvc", "repro")


@pytest.mark.parametrize(
    ("overrides", "stage", "message"),
    [
        (["data.root=/nowhere"], ("phantom",), "set data.root"),
        (["data.root=/nowhere"], ("corpus",), "/nowhere"),
        (["images.size=3"], ("images", "data/corpus", "mimic-cxr-jpg", "data/images/x"), "images.size = 3"),
        (["query_sets.source=nowhere.yaml"], ("query_sets",), "nowhere.yaml"),
        (["text_encoder.source=no/such"], ("text_encoder",), "no/such"),
    ],
)
def test_bad_input_ends_in_one_sentence(
    project: Path, overrides: list[str], stage: tuple[str, ...], message: str
) -> None:
    before = (project / "params.yaml").read_text()
    try:
        if overrides == ["images.size=3"]:
            (project / "params.yaml").write_text(before.replace("images:\n  size: ", "images:\n  size: 3 #"))
        else:
            run(project, "cxr", "compose", "scale=tiny", *overrides)
        output = run(project, "python", "-m", f"stages.{stage[0]}", *stage[1:], code=1)
    finally:
        (project / "params.yaml").write_text(before)
    assert message in output
    assert output.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in output
