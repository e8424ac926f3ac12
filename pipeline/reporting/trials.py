"""Configurations over several seeds: means with intervals, and paired tests of each against a reference.

Runs that differ in their seed alone are one configuration. Tests need the per-image results that `kept_scores` holds;
where they are missing, or of other images, a note says so and nothing takes their place.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import t as student

from pipeline.ablation import Ablation
from pipeline.errors import EvaluationError, ParamsError
from pipeline.evaluation import pairing, statistics
from pipeline.evaluation.encoders import PRETRAINED
from pipeline.evaluation.pairing import Verdict
from pipeline.kept_scores import kept_results, kept_scores
from pipeline.reporting.compare import Row, figure, method_of, metrics_of, shown_metrics
from pipeline.reporting.drawing import Interval
from pipeline.reporting.sheets import Line, Sheet
from pipeline.tracking import is_headline

HOW_TO_READ = (
    "Intervals are 95 %: of the mean over seeds by Student's t, ending where the metric does, of one seed by bootstrap "
    "of its patients.",
    "Tests are paired by seed and image, patients the units: DeLong for the AUROC of one finding, else bootstrap. "
    "p values are two-sided; Holm's are corrected for the number of tests in the table.",
)
RESAMPLES = 10_000  # of a bootstrap: its smallest p, 2 in 10,001, stands after Holm's correction for tens of tests


@dataclass(frozen=True)
class Trial:
    """One trained model."""

    model_hash: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Configuration:
    """Models that differ in their seed alone, by seed."""

    name: str
    trials: Mapping[int, Trial]
    method: str = ""


@dataclass(frozen=True)
class Tested:
    """A test of a configuration against the reference."""

    name: str
    metric: str
    seeds: int
    verdict: Verdict


@dataclass(frozen=True)
class Trials:
    """Configurations, tests of all but the reference against it, and published rows to look at beside them."""

    configurations: tuple[Configuration, ...]
    reference: str
    columns: tuple[str, ...]
    tests: tuple[Tested, ...]
    notes: tuple[str, ...]
    published: tuple[Row, ...] = field(default=())

    def sheets(self) -> list[Sheet]:
        """The means with their intervals, and the tests."""
        lines = [
            Line((one.name, str(len(one.trials)), *(estimate(one, column) for column in self.columns)))
            for one in self.configurations
        ]
        for row in self.published:
            figures = (figure(row.metrics.get(column)) for column in self.columns)
            lines.append(Line((f"{row.name} {row.switches}".rstrip(), "", *figures), quiet=True))
        means = Sheet("Means with 95 % intervals", ("configuration", "seeds", *self.columns), tuple(lines))
        header = ("configuration: metric", "difference (95 % interval)", "p", "p (Holm)", "test", "seeds")
        tests = Sheet(f"Differences from {self.reference}", header, tuple(self._test_lines()))
        return [means, tests] if self.tests else [means]

    def _test_lines(self) -> Iterable[Line]:
        adjusted = statistics.holm([one.verdict.test.p_value for one in self.tests])
        for one, corrected in zip(self.tests, adjusted, strict=True):
            test = one.verdict.test
            between = f"{test.difference:+.3f} ({test.low:+.3f} to {test.high:+.3f})"
            best = frozenset({3}) if corrected < 0.05 else frozenset[int]()
            name = f"{one.name}: {one.metric.replace('.', ' ')}"
            cells = name, between, p_value(test.p_value), p_value(corrected), one.verdict.kind, str(one.seeds)
            yield Line(cells, best)


def estimate(one: Configuration, metric: str) -> str:
    """The mean over the seeds with its t-interval; the one value with its bootstrap interval; empty without any."""
    values = [trial.metrics[metric] for trial in one.trials.values() if metric in trial.metrics]
    if not values:
        return ""
    bounds = (
        t_interval(values, metric) if len(values) > 1 else _bootstrap_interval(next(iter(one.trials.values())), metric)
    )
    between = f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else ""
    return f"{figure(float(np.mean(values)))}{between}"


def t_interval(values: Sequence[float], metric: str) -> tuple[float, float]:
    """The 95 % interval of a mean by Student's t, from at least two values, cut to where the metric can lie."""
    reach = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    lowest = -1.0 if metric.endswith("silhouette") else 0.0  # all others are shares
    return max(float(np.mean(values) - reach), lowest), min(float(np.mean(values) + reach), 1.0)


def p_value(value: float) -> str:
    """A p value as people read it."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _bootstrap_interval(trial: Trial, metric: str) -> Interval:
    """Of a metric by the name that `tracking.flat_metrics` gave it, from where its task's JSON keeps it."""
    task, benchmark, name = metric.split(".", 2)
    results = kept_results(trial.model_hash, task, benchmark) or {}
    if task == "retrieval":
        way = name.partition("_p_at_")[0]
        return _interval(results.get(way, {}), f"{name.removeprefix(f'{way}_')}_interval")
    if task in ("finetune", "segmentation"):
        what, _, percent = name.rpartition("_")
        runs = results.get("runs", {})
        init = next((init for init in runs if what.startswith(f"{init}_")), PRETRAINED)
        return _interval(runs.get(init, {}).get(percent, {}), f"{what.removeprefix(f'{init}_')}_interval")
    return _interval(results.get("intervals", {}), name)


def _interval(found: Mapping[str, Any], name: str) -> Interval:
    bounds: Interval = found.get(name)
    return bounds


def configurations(runs: pl.DataFrame) -> tuple[list[Configuration], list[str]]:
    """MLflow's evaluated runs (`tracking.runs`) grouped by all parameters but the seed, and notes on what is left out.

    Of two runs with the same parameters and seed (the code or an input changed) the newer stands; of two
    configurations with the same name (the defaults changed) likewise.
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    names = [name for name in runs.columns if name.startswith("params.") and name != "params.seed"]
    for run in _evaluated(runs):
        groups.setdefault(tuple(str(run[name]) for name in names), []).append(run)
    found: dict[str, Configuration] = {}
    notes = []
    for group in sorted(groups.values(), key=lambda group: max(run["started"] for run in group)):
        newest = group[-1]
        name = _without_seed(newest["name"])
        if name in found:
            notes.append(f"{name}: older runs of this name had other parameters and are left out.")
        found[name], left_out = _configuration(name, group)
        notes += left_out
    return sorted(found.values(), key=lambda one: one.name), notes


def rows_of_ablation(ablation: Ablation, runs: pl.DataFrame) -> tuple[list[Configuration], list[str]]:
    """The rows of an ablation as configurations, found among MLflow's runs by their parameters, and notes."""
    wanted = {row: ablation.params(row) for row in ablation.rows}
    names = {name for params in wanted.values() for name in params}
    varied = {name for name in names if len({params.get(name) for params in wanted.values()}) > 1}
    found, notes = [], []
    for row, params in wanted.items():
        one, left_out = _configuration(row, [run for run in _evaluated(runs) if _has(run, params, varied)])
        found.append(one)
        notes += left_out
        if not one.trials:
            notes.append(f"{row}: no run in MLflow; `cxr ablate` makes it.")
    return found, notes


def compare_trials(
    found: Sequence[Configuration], reference: str, sort: str | None, notes: Sequence[str] = ()
) -> Trials:
    """Test configurations against one of them.

    Args:
        found: the configurations.
        reference: words of its name, which only it has or which others only add to, as in `icl=false`.
        sort: a metric to show and test beside the headlines, and to sort by; others that are shown are not tested.
        notes: to go before this function's own.

    Raises:
        ParamsError: not one configuration is called so, or none has the metric to sort by.
    """
    base = next((one for one in found if one.name == reference), None) or _find(found, reference)
    columns = shown_metrics([(one.method, trial.metrics) for one in found for trial in one.trials.values()], sort)
    tested = [column for column in columns if column == sort or is_headline(column)]
    if sort is not None:
        found = sorted(found, key=lambda one: -_mean(one, sort))
    tests, own, untested = [], list(notes), dict[str, dict[str, None]]()  # why -> which metrics
    for one in found:
        seeds = sorted(one.trials.keys() & base.trials.keys())
        if one is not base and one.trials and base.trials and not seeds:
            own.append(f"No tests: {one.name} and {base.name} have no seed in common.")
        for column in tested if one is not base and seeds else ():
            try:
                tests.append(Tested(one.name, column, len(seeds), _test(one, base, column, seeds)))
            except EvaluationError as error:
                untested.setdefault(str(error), {})[column] = None
    own += [f"No test of {', '.join(metrics)}: {why}" for why, metrics in untested.items()]
    if not base.trials:
        own.append(f"No tests: {base.name} has no run.")
    return Trials(tuple(found), base.name, columns, tuple(tests), tuple(dict.fromkeys(own)))


def _test(one: Configuration, base: Configuration, metric: str, seeds: Sequence[int]) -> Verdict:
    task, benchmark, name = metric.split(".", 2)
    if name not in pairing.TESTED.get(task, ()):
        raise EvaluationError("only zero-shot and grounding results are paired here, image by image.")
    pairs = [(_results(one, seed, task, benchmark), _results(base, seed, task, benchmark)) for seed in seeds]
    return pairing.compare(name, pairs, (one.name, base.name), RESAMPLES)


def _results(one: Configuration, seed: int, task: str, benchmark: str) -> pairing.Results:
    scores = kept_scores(one.trials[seed].model_hash, task, benchmark)
    if scores is None:
        raise EvaluationError(
            f".scores/{one.trials[seed].model_hash} lacks the per-image results of {one.name}, seed {seed}: bring its "
            "experiment back with `dvc exp apply`, then run `dvc repro --force --single-item report`."
        )
    return pairing.ScoredImages(scores, benchmark) if task == "zero_shot" else pairing.GroundedPairs(scores)


def _configuration(name: str, group: Sequence[dict[str, Any]]) -> tuple[Configuration, list[str]]:
    """Runs of one configuration by seed, the newest of each, and a note where some are left out."""
    trials = {int(run["params.seed"]): Trial(run["model_hash"], run["metrics"]) for run in group}
    more = len(group) - len(trials)
    notes = [f"{name}: {more} older runs with the same seed are left out."] if more else []
    return Configuration(name, dict(sorted(trials.items())), method_of(group[-1]) if group else ""), notes


def _evaluated(runs: pl.DataFrame) -> list[dict[str, Any]]:
    """Runs that have a model and metrics, oldest first, the metrics under one key."""
    rows = runs.filter(pl.col("model_hash").is_not_null()).sort("started").to_dicts()
    return [run | {"metrics": metrics} for run in rows if (metrics := metrics_of(run))]


def _has(run: Mapping[str, Any], params: Mapping[str, str], varied: set[str]) -> bool:
    """Whether a run has the wanted parameters, and logged those by which the rows differ."""
    logged = {
        name.removeprefix("params."): value
        for name, value in run.items() if name.startswith("params.") and value is not None
    }  # fmt: skip
    return varied <= logged.keys() and all(params.get(name) == logged[name] for name in logged if name != "seed")


def _find(found: Sequence[Configuration], reference: str) -> Configuration:
    """The configuration whose name has all words of the reference and the fewest others."""
    wanted = {*_without_seed(reference).split()}
    named = [one for one in found if wanted <= {*one.name.split()}]
    shortest = min((len(one.name.split()) for one in named), default=0)
    closest = [one for one in named if len(one.name.split()) == shortest]
    if len(closest) != 1:
        listed = ", ".join(one.name for one in closest or found)
        raise ParamsError(f"{reference!r} names {len(closest)} configurations, not one: choose one of {listed}.")
    return closest[0]


def _without_seed(name: str) -> str:
    return re.sub(r" ?\bseed=\d+", "", name).strip()


def _mean(one: Configuration, metric: str) -> float:
    values = [trial.metrics[metric] for trial in one.trials.values() if metric in trial.metrics]
    return float(np.mean(values)) if values else float("-inf")
