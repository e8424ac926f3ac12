"""Planning and running an ablation with a stand-in for DVC; the real one runs in tests/end_to_end."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.ablation import Experiment, load_ablation, plan, run_all
from pipeline.errors import ParamsError, PipelineError

ROOT = Path(__file__).parents[1]
METHODS = sorted({path.stem for path in (ROOT / "conf/method").glob("*.yaml")}
                 & {path.stem for path in (ROOT / "conf/ablation").glob("*.yaml")})  # fmt: skip


def git(*arguments: str) -> str:
    identity = ("-c", "user.email=test@example.org", "-c", "user.name=Test")
    return subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("lr = 1\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "start")
    return tmp_path


class FakeDVC:
    """Runs nothing: keeps a ref as DVC does for what works, and fails or is interrupted where told to."""

    def __init__(self, fails: str = "", interrupted: str = "") -> None:
        self.fails, self.interrupted, self.ran = fails, interrupted, list[str]()

    def __call__(self, command: Sequence[str]) -> int:
        name = command[command.index("--name") + 1]
        self.ran.append(name)
        if self.interrupted and self.interrupted in name:
            raise KeyboardInterrupt
        if self.fails and self.fails in name:
            return 255
        git("update-ref", f"refs/exps/2c/533198/{name}", "HEAD")
        return 0


def planned(seeds: int = 2, overrides: Sequence[str] = ("scale=tiny",)) -> list[Experiment]:
    return plan(load_ablation("medslip", overrides), seeds)


def test_the_papers_rows_run_seed_by_seed_beside_the_working_tree() -> None:
    experiments = planned()
    assert [(one.seed, one.overrides[2:-1]) for one in experiments[:5]] == [
        (0, ("model.disentangle=false", "loss.protocl=false", "loss.icl=false")),
        (0, ("loss.protocl=false", "loss.icl=false")),
        (0, ("model.disentangle=false", "loss.icl=false")),
        (0, ("loss.icl=false",)),
        (0, ()),
    ]
    assert [one.seed for one in experiments] == [0] * 5 + [1] * 5
    command = experiments[3].command[1:]
    assert command[:5] == ["-m", "dvc", "exp", "run", "--temp"]
    assert command[7:] == ["-S", "method=medslip", "-S", "scale=tiny", "-S", "loss.icl=false", "-S", "seed=0"]
    assert len({one.name for one in experiments}) == 10
    git("check-ref-format", f"refs/exps/{experiments[0].name}")


@pytest.mark.parametrize("method", METHODS)
def test_every_row_of_a_method_composes(method: str) -> None:
    ablation = load_ablation(method)
    rows = [ablation.params(row) for row in ablation.rows]
    assert len({tuple(row.items()) for row in rows}) == len(rows) == 5
    assert ablation.reference == [*ablation.rows][-1]


def test_a_failing_row_is_reported_and_the_others_go_on() -> None:
    dvc, lines = FakeDVC(fails="protocl-icl-seed0"), list[str]()
    (failed,) = run_all(planned(), dvc, lines.append)
    assert (failed.row, failed.seed) == ("disentanglement, ProtoCL, ICL", 0)
    assert len(dvc.ran) == 10
    assert "[5/10] disentanglement, ProtoCL, ICL, seed 0: failed with exit code 255; the others go on" in lines


def test_an_interrupted_command_goes_on_with_what_has_not_finished() -> None:
    first = FakeDVC(interrupted="medslip-protocl-seed0")
    with pytest.raises(PipelineError, match=r"Interrupted in \[3/10\] ProtoCL, seed 0: the same command goes on"):
        run_all(planned(), first, str)
    second, lines = FakeDVC(), list[str]()
    assert run_all(planned(), second, lines.append) == []
    assert second.ran[0] == first.ran[-1]
    assert len(second.ran) == 8
    assert lines[0].endswith(f"finished before, as {first.ran[0]}")


def test_a_failed_row_runs_again_and_more_seeds_add_to_what_is_there() -> None:
    run_all(planned(seeds=1), FakeDVC(fails="medslip-protocl-seed0"), str)
    dvc = FakeDVC()
    run_all(planned(seeds=2), dvc, str)
    assert len(dvc.ran) == 1 + 5


def test_changed_code_or_parameters_are_new_experiments_and_changed_results_are_not(project: Path) -> None:
    before = {one.name for one in planned()}
    (project / "untracked.txt").touch()
    (project / "params.yaml").write_text("scale: paper\n")
    assert {one.name for one in planned()} == before
    (project / "train.py").write_text("lr = 2\n")
    assert not {one.name for one in planned()} & before
    assert not {one.name for one in planned(overrides=["scale=tiny", "data.root=/elsewhere"])} & before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=3"], "-S seed=3: method and seed are set by"),
        (["method=medklip"], "-S method=medklip"),
        (["loss.nothing=1"], "loss.nothing"),
        (["train.epochs=0"], r"train.epochs = 0"),
    ],
)
def test_a_bad_override_is_named_before_anything_runs(overrides: list[str], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        planned(overrides=overrides)


def test_an_unknown_method_names_the_known(project: Path) -> None:
    with pytest.raises(ParamsError, match=r"conf/ablation/other\.yaml is missing: choose one of medfilip, medslip"):
        load_ablation("other")
    (project / "conf/ablation/other.yaml").write_text("a: [loss.icl=false]\n")
    with pytest.raises(ParamsError, match="one row, the full model"):
        load_ablation("other")


def test_outside_a_repository_git_says_why(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(project / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    with pytest.raises(PipelineError, match=r"git rev-parse failed .* need a git repository"):
        planned()
