"""A stage that fails leaves the outputs of its last run, in a DVC project of one stage."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGE = """
import os, signal
from pathlib import Path
from pipeline.errors import DatasetError
from stages.common import run

def main() -> None:
    text = Path("input").read_text()
    if text == "broken":
        raise DatasetError("input is broken.")
    Path("folder").mkdir(exist_ok=True)
    Path("folder/a").write_text(text)
    if text == "partial":
        raise DatasetError("input is broken.")
    if text == "defect":
        raise KeyError("input")
    if text == "usage":
        raise SystemExit(2)
    Path("reports").mkdir(exist_ok=True)
    Path("reports/metrics.json").write_text('{"length": %d}' % len(text))

run(main)
"""
DVC = """
stages:
  once:
    cmd: python stage.py
    deps: [input]
    outs: [folder]
    metrics: [reports/metrics.json: {cache: false}]
"""


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {"stage.py": STAGE, "dvc.yaml": DVC, "input": "good"}.items():
        (tmp_path / name).write_text(text)
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "dvc", "init", "-q")
    assert run(tmp_path, "dvc", "repro").returncode == 0
    run(tmp_path, "git", "add", "-A")
    run(tmp_path, "git", "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "results")
    return tmp_path


def outputs(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for part in ("folder", "reports")
        for path in (folder / part).rglob("*")
        if path.is_file() and path.name != ".gitignore"
    }


@pytest.mark.parametrize("text", ["partial", "defect", "usage"])
def test_a_failed_stage_leaves_the_outputs_of_its_last_run(project: Path, text: str) -> None:
    before = outputs(project)
    assert before == {"folder/a": "good", "reports/metrics.json": '{"length": 4}'}
    (project / "input").write_text(text)
    assert run(project, "dvc", "repro").returncode != 0
    assert outputs(project) == before
    metrics = project / "reports/metrics.json"
    assert os.access(metrics, os.W_OK)
    assert metrics.stat().st_nlink == 1, "what git keeps is no link into the cache"
    (project / "input").write_text("good")
    assert "Running stage" not in run(project, "dvc", "repro").stdout


def test_the_last_run_counts_and_not_what_was_committed(project: Path) -> None:
    (project / "input").write_text("longer")
    assert run(project, "dvc", "repro").returncode == 0
    (project / "input").write_text("partial")
    assert "error: input is broken." in run(project, "dvc", "repro").stderr
    assert outputs(project) == {"folder/a": "longer", "reports/metrics.json": '{"length": 6}'}


def test_what_the_cache_lacks_comes_from_git_or_is_named(project: Path) -> None:
    shutil.rmtree(project / ".dvc/cache")
    (project / "input").write_text("partial")
    done = run(project, "dvc", "repro")
    assert outputs(project)["reports/metrics.json"] == '{"length": 4}'
    assert "folder is not that of the last run, which no cache here holds." in done.stderr


def test_of_outputs_that_were_never_here_nothing_is_said(project: Path) -> None:
    """As in a clone, whose dvc.lock records what was made elsewhere."""
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(project / "folder")
    (project / "input").write_text("broken")
    assert run(project, "dvc", "repro").stderr.splitlines()[:1] == ["error: input is broken."]
    assert not (project / "folder").exists()


def test_an_output_that_persists_is_left_alone(project: Path) -> None:
    """Git's version is of another run than the last one."""
    persists = DVC.replace("cache: false", "cache: false, persist: true").replace(
        "[folder]", "[folder: {persist: true}]"
    )
    (project / "dvc.yaml").write_text(persists)
    (project / "input").write_text("longer")
    assert run(project, "dvc", "repro").returncode == 0
    last = outputs(project)
    (project / "input").write_text("broken")
    assert run(project, "dvc", "repro").returncode == 255
    assert outputs(project) == last


def test_a_first_run_that_fails_says_only_why(tmp_path: Path) -> None:
    for name, text in {"stage.py": STAGE, "dvc.yaml": DVC, "input": "partial"}.items():
        (tmp_path / name).write_text(text)
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "dvc", "init", "-q")
    done = run(tmp_path, "dvc", "repro")
    assert done.stderr.splitlines()[0] == "error: input is broken."
    assert not (tmp_path / "reports/metrics.json").exists()
