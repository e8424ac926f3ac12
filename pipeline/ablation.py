"""An ablation's rows over several seeds, run one after another as experiments of DVC.

The rows are data (`conf/ablation/<method>.yaml`). What DVC's cache holds is not computed again, an experiment that
finished is not run again, and one that fails does not keep the others from running. Holds no tables and no statistics
(see `reporting.trials`).
"""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import yaml

from pipeline.errors import ParamsError, PipelineError
from pipeline.naming import flat
from pipeline.params import compose, parse_params

Run = Callable[[Sequence[str]], int]  # a command -> its exit code

CONF = Path("conf")
DVC = (sys.executable, "-m", "dvc")


@dataclass(frozen=True)
class Ablation:
    """Rows by name with what each overrides: the method and the -S of the user first, then its own switches."""

    method: str
    rows: Mapping[str, tuple[str, ...]]
    reference: str  # the row without switches: the full model

    def params(self, row: str) -> dict[str, str]:
        """The parameters of a row as text by dotted name, as a run's in MLflow (see `naming.flat`).

        Raises:
            ParamsError: they do not compose, or a value is out of range.
        """
        values = parse_params(compose(CONF, self.rows[row])[1]).model_dump(mode="json")
        return flat(values | {"corpus": values["corpus"]["name"]})


@dataclass(frozen=True)
class Experiment:
    """One training and its evaluations. The name holds a hash of parameters and code, so it names finished work."""

    row: str
    seed: int
    overrides: tuple[str, ...]
    name: str

    @property
    def command(self) -> list[str]:
        """How DVC runs it, beside the user's working tree."""
        settings = [part for override in self.overrides for part in ("-S", override)]
        return [*DVC, "exp", "run", "--temp", "--name", self.name, *settings]


def load_ablation(method: str, overrides: Sequence[str] = ()) -> Ablation:
    """Read an ablation, for use on top of overrides such as `scale=paper`.

    Raises:
        ParamsError: there is none for the method, its file holds no rows, or an override is its own business.
    """
    path = CONF / "ablation" / f"{method}.yaml"
    known = sorted(found.stem for found in path.parent.glob("*.yaml"))
    if method not in known:
        raise ParamsError(f"{path} is missing: choose one of {', '.join(known)}, or write its rows there.")
    for override in overrides:
        if re.split(r"[=.]", override)[0].strip("+~") in ("method", "seed"):
            raise ParamsError(f"-S {override}: method and seed are set by --method and --seeds.")
    rows = yaml.safe_load(path.read_text())
    full = [name for name, own in rows.items() if not own] if isinstance(rows, dict) else []
    if len(full) != 1:
        raise ParamsError(f"{path}: give each row a list of overrides, and one row, the full model, an empty list.")
    shared = (f"method={method}", *overrides)
    return Ablation(method, {name: (*shared, *own) for name, own in rows.items()}, full[0])


def plan(ablation: Ablation, seeds: int) -> list[Experiment]:
    """The experiments of an ablation, all rows of a seed before the next seed, so that an early table is a fair one.

    Raises:
        ParamsError: a row does not compose, or a value is out of range.
    """
    code = _code()
    found = []
    for seed in range(seeds):
        for row, overrides in ablation.rows.items():
            settings = (*overrides, f"seed={seed}")
            params, values = compose(CONF, settings)
            parse_params(values)
            slug = re.sub(r"[^a-z0-9]+", "-", row.lower()).strip("-")
            digest = sha256((code + params).encode()).hexdigest()[:8]
            found.append(Experiment(row, seed, settings, f"{ablation.method}-{slug}-seed{seed}-{digest}"))
    return found


def run_all(experiments: Sequence[Experiment], run: Run, say: Callable[[str], None]) -> list[Experiment]:
    """Run the experiments that have not finished yet, and say how it goes.

    Args:
        experiments: what to run, in order.
        run: runs a command.
        say: takes a line of progress.

    Returns:
        Those that failed.

    Raises:
        PipelineError: the user interrupted it.
    """
    finished, failed = _finished(), []
    for number, experiment in enumerate(experiments, 1):
        title = f"[{number}/{len(experiments)}] {experiment.row}, seed {experiment.seed}"
        if experiment.name in finished:
            say(f"{title}: finished before, as {experiment.name}")
            continue
        say(f"{title}: dvc {' '.join(experiment.command[len(DVC) :])}")
        try:
            code = run(experiment.command)
        except KeyboardInterrupt:
            raise PipelineError(f"Interrupted in {title}: the same command goes on with it.") from None
        if code:
            failed.append(experiment)
            say(f"{title}: failed with exit code {code}; the others go on")
    return failed


def run_command(command: Sequence[str]) -> int:
    """Run a command whose output the user sees; its exit code."""
    return subprocess.run(command, check=False).returncode


def _finished() -> set[str]:
    """Names of all experiments that DVC keeps in this repository."""
    return {name.rpartition("/")[2] for name in _git("for-each-ref", "--format=%(refname)", "refs/exps").splitlines()}


def _code() -> str:
    """What DVC takes into an experiment beside its parameters: the commit, and changes of tracked files."""
    return _git("rev-parse", "HEAD") + _git("diff", "HEAD", "--", ".", ":!params.yaml", ":!dvc.lock", ":!reports")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError(
            f"git {arguments[0]} failed ({done.stderr.strip()}): DVC's experiments need a git repository with a commit."
        )
    return done.stdout
