"""MLflow, where people read the metrics: one flat run per trained model, beside the papers' published rows.

The JSON files under reports/ are the truth; what stands here can be logged anew at any time. So a store that does
not answer is a warning, never a failure of training or evaluation. Holds no tables and no figures (see reporting).
"""

import json
import logging
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.errors import PipelineError
from pipeline.naming import flat, run_name, switches

EXPERIMENT = "cxr"
RETRY_SECONDS = 60  # a locked SQLite store holds a writer up for 20 s, so training does not ask it at every step

_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # else MLflow asks every visitor what kind this is
    "mlflow.note.content": "One run per trained model; its name says what differs from the default parameters. "
    "Runs named `published: ...` are the papers' figures, on other data. "
    "Select runs and press Compare, or run `cxr compare`.",
}
# MLflow keeps a saved view of its run table as a tag of the experiment; this one shows the headline figures.
_VIEW_KEY = "results"
_VIEW_TAG = f"mlflow.sharedViewState.{_VIEW_KEY}"
# What a reader wants of each task first: shown in that view and by `cxr compare`; the first of them also per finding.
HEADLINES: Mapping[str, tuple[str, ...]] = {
    "zero_shot": ("auroc",),
    "grounding": ("pointing_game",),
    "finetune": ("auroc_1", "auroc_10", "auroc_100"),
    "segmentation": ("dice_1", "dice_10", "dice_100"),
    "retrieval": ("image_to_text_p_at_10", "text_to_image_p_at_10"),
    "unseen": ("category", "explanation"),
    "finding_maps": ("silhouette",),
}
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """What determines a training, and how it is called.

    `key` is a hash of code, parameters and inputs; `params` and `defaults` are nested as in params.yaml.
    """

    key: str
    params: Mapping[str, Any]
    defaults: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The run's name, as in `medslip icl=false`."""
        return run_name(self.params, self.defaults)


@dataclass(frozen=True)
class PublishedRun:
    """A row of a paper: metrics are fractions under this project's names, the date is the paper's."""

    key: str
    name: str
    switches: str
    note: str
    date: date
    metrics: Mapping[str, float]


@dataclass
class TrainingRun:
    """The run of a training in progress. Logging costs one request and never raises on a store that is away."""

    training: Training
    _pending: list[tuple[str, float, int]] = field(default_factory=list)
    _retry_at: float = 0.0
    _warned: bool = False

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add one point to each curve. A point that the run already has (a re-run, a resumed training) is left out.

        Args:
            metrics: values by name, as in `validation_loss`, shown as `training/validation_loss`.
            step: steps done so far.
        """
        self._pending += [(f"training/{name}", float(value), step) for name, value in metrics.items()]
        if time.monotonic() >= self._retry_at:
            self._attempt(self._send)

    def finish(self, model_hash: str) -> None:
        """Tag the run with the content hash of the trained weights, by which evaluations find it.

        When another run already has these weights (the code or a parameter without effect changed), that one stays.
        """
        self._attempt(lambda: self._tag(model_hash))

    def _tag(self, model_hash: str) -> None:
        self._send()
        self._run_id = self._store.adopt(self._run_id, model_hash)

    def _close(self, status: str) -> None:
        self._attempt(lambda: self._terminate(status))

    def _terminate(self, status: str) -> None:
        self._send()
        self._store.client.set_terminated(self._run_id, status)

    @cached_property
    def _store(self) -> "_Store":
        return _Store()

    @cached_property
    def _run_id(self) -> str:
        return self._store.training_run(self.training)

    @cached_property
    def _known(self) -> set[tuple[str, int]]:
        return self._store.points(self._run_id)

    def _send(self) -> None:
        new = [point for point in self._pending if (point[0], point[2]) not in self._known]
        self._store.log_metrics(self._run_id, new)
        self._known.update((name, step) for name, _, step in new)
        self._pending.clear()

    def _attempt(self, action: Any) -> None:
        try:
            action()
        except _store_errors() as error:
            _raise_if_defect(error)
            self._retry_at = time.monotonic() + RETRY_SECONDS
            if not self._warned:
                _warn(error, "training goes on; its curves are logged when the store answers again")
            self._warned = True


@contextmanager
def training_run(training: Training, leader: bool = True) -> Iterator[TrainingRun]:
    """The run of a training, found by its key or created; on leaving it, finished, failed or killed.

    Of several processes the leading one alone logs, and the others must say that they are not it.

    Example:
        with training_run(Training(key, params, defaults)) as run:
            run.log({"loss": 0.7}, step=10)
            run.finish(model_hash)
    """
    run = TrainingRun(training)
    if not leader:
        yield run
        return
    run._attempt(run._send)
    try:
        yield run
    except KeyboardInterrupt:
        run._close("KILLED")
        raise
    except BaseException:
        run._close("FAILED")
        raise
    run._close("FINISHED")


def log_evaluation(
    model_hash: str,
    training: Training,
    task: str,
    benchmark: str,
    results: Mapping[str, Any],
    artifacts: Sequence[Path] = (),
) -> None:
    """Log one evaluation to the run of its model, which is created where the store has none.

    Args:
        model_hash: content hash of the weights.
        training: what the run is called and shows when it has to be created.
        task: a name of HEADLINES: the first part of the metrics' names, and the artifacts' folder.
        benchmark: `cxr14`, ...: the second part.
        results: content of the task's JSON file; see `flat_metrics` for what is logged of it.
        artifacts: files to keep with the run.
    """
    with _warning_only():
        store = _Store()
        run_id = store.model_run(model_hash, training)
        metrics = flat_metrics(results, task, benchmark)
        store.update_metrics(run_id, metrics)
        store.log_files(run_id, artifacts, task)
        store.show([name for name in metrics if is_headline(name)])


def log_artifacts(model_hash: str, training: Training, artifacts: Sequence[Path], folder: str = "") -> None:
    """Keep files (figures, the model card) with the run of a model, which is created where the store has none."""
    with _warning_only():
        store = _Store()
        store.log_files(store.model_run(model_hash, training), artifacts, folder)


def log_published(rows: Sequence[PublishedRun]) -> None:
    """Make the published rows runs of the same experiment, with the figures that some run of this project has too.

    Rows that are there already are brought up to date, so call it after the evaluations are logged.
    """
    with _warning_only():
        store = _Store()
        ours = {name for run in store.own_runs() for name in run.data.metrics}
        for place, row in enumerate(rows):
            metrics = {name: value for name, value in row.metrics.items() if name in ours}
            if metrics:
                store.update_metrics(store.published_run(row, place), metrics)


def runs() -> pl.DataFrame:
    """This project's runs, sorted by name and model.

    Returns:
        name, switches, status, model_hash (strings), started (Int64, milliseconds), then one Float64 column per
        metric and one String column `params.<name>` per parameter, each in alphabetical order; null where a run
        lacks it.

    Raises:
        PipelineError: the store does not answer.
    """
    try:
        return _run_table(_Store().own_runs())
    except _store_errors() as error:
        raise PipelineError(
            f"MLflow's store {_shown(tracking_uri())} does not answer ({_first_line(error)}): "
            "check MLFLOW_TRACKING_URI, or unset it to use the project's own."
        ) from error


def results_page(server: str = "http://127.0.0.1:5000") -> str:
    """The address of MLflow's run table with the headline figures as columns, on a running `mlflow server`."""
    table = f"{server}/#/experiments/{_Store().experiment}/runs"
    return f"{table}?workflowType=machine_learning&viewStateShareKey={_VIEW_KEY}"


def is_headline(metric: str) -> bool:
    """Whether a metric, as in `zero_shot.cxr14.auroc`, is among the HEADLINES of its task."""
    task, _, rest = metric.partition(".")
    return rest.partition(".")[2] in HEADLINES.get(task, ())


def flat_metrics(results: Mapping[str, Any], task: str, benchmark: str) -> dict[str, float]:
    """The numbers of an evaluation's JSON under the names that MLflow shows.

    Plain numbers at the top level become `<task>.<benchmark>.<name>`, those of a direction of retrieval
    `<task>.<benchmark>.<direction>_<name>`, those over the n most common findings
    `<task>.<benchmark>.common<n>.<name>`. The headline per finding and severity becomes
    `<task>.<benchmark>.<headline>/<finding or severity>`, and chance `<task>.<benchmark>.chance/<name>`: MLflow folds
    what follows a slash into a section of its own, so that the figures of the whole stay together.
    Not rounded, as what prints them rounds once. Intervals and counts stay in the JSON.
    """
    headline = HEADLINES[task][0]
    found = dict(results)
    for direction in ("image_to_text", "text_to_image"):
        found |= {f"{direction}_{name}": value for name, value in results.get(direction, {}).items()}
    for common in ("common8", "common10"):
        found |= {f"{common}.{name}": value for name, value in results.get(common, {}).items()}
    for group in ("per_class", "by_severity"):
        rows = results.get(group, {})
        found |= {f"{headline}/{name}": row.get("macro", row.get(headline)) for name, row in rows.items()}
    found |= {f"chance/{name}": value for name, value in results.get("chance", {}).items()}
    return {f"{task}.{benchmark}.{name}": float(value) for name, value in found.items() if _is_number(value)}


def project_root(folder: Path | None = None) -> Path:
    """The project's own folder, also from the copies below .dvc/tmp/exps in which DVC runs experiments.

    Args:
        folder: where to start; the working directory when None.
    """
    start = (folder or Path.cwd()).resolve()
    for parent in (start, *start.parents):
        if parent.name == ".dvc" and start.is_relative_to(parent / "tmp" / "exps"):
            return parent.parent
    return next((parent for parent in (start, *start.parents) if (parent / "dvc.yaml").is_file()), start)


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or mlflow.db in the project's folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_root() / 'mlflow.db'}"


class _Store:
    """The few questions this module asks MLflow. Every method may raise one of `_store_errors`."""

    def __init__(self) -> None:
        mlflow = _mlflow()
        self.client = mlflow.MlflowClient(tracking_uri=tracking_uri())
        self.experiment = self._experiment(mlflow)

    def _experiment(self, mlflow: Any) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            own_store = not os.environ.get("MLFLOW_TRACKING_URI")
            place = (project_root() / "mlartifacts").as_uri() if own_store else None
            try:
                return str(self.client.create_experiment(EXPERIMENT, artifact_location=place, tags=_EXPERIMENT_TAGS))
            except mlflow.exceptions.MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process may have been first
                    raise
                found = self.client.get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id)

    def all_runs(self, tag: str = "", value: str = "") -> list[Any]:
        condition = f"tags.`{tag}` = '{value}'" if tag else ""
        found, token = [], None
        while True:
            page = self.client.search_runs(
                [self.experiment], condition, order_by=["attributes.start_time ASC"], page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def own_runs(self) -> list[Any]:
        return [run for run in self.all_runs() if "published" not in run.data.tags]

    def training_run(self, training: Training) -> str:
        found = self.all_runs("training_key", training.key)
        run = found[0] if found else self._create(training, {"training_key": training.key})
        self._log_params(run, training.params)
        self.client.update_run(run.info.run_id, status="RUNNING", name=training.name)
        return str(run.info.run_id)

    def model_run(self, model_hash: str, training: Training) -> str:
        found = self.all_runs("model_hash", model_hash) or self.all_runs("training_key", training.key)
        run = found[0] if found else self._create(training, {"training_key": training.key})
        self._log_params(run, training.params)
        self.client.set_tag(run.info.run_id, "model_hash", model_hash)
        if not found:
            self.client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def published_run(self, row: PublishedRun, place: int) -> str:
        """The row's run; MLflow lists the newest first, so a second between them keeps the papers' order."""
        found = self.all_runs("published_row", row.key)
        if found:
            return str(found[0].info.run_id)
        tags = {
            "published": "true",
            "published_row": row.key,
            "mlflow.note.content": row.note,
            "switches": row.switches,
        }
        noon = datetime(row.date.year, row.date.month, row.date.day, hour=12, tzinfo=UTC)
        day = int((noon.timestamp() - place) * 1000)
        run = self.client.create_run(
            self.experiment, start_time=day, run_name=f"{row.name} {row.switches}".strip(), tags=tags
        )
        self.client.set_terminated(run.info.run_id, end_time=day)
        return str(run.info.run_id)

    def adopt(self, run_id: str, model_hash: str) -> str:
        twins = [run.info.run_id for run in self.all_runs("model_hash", model_hash) if run.info.run_id != run_id]
        if not twins:
            self.client.set_tag(run_id, "model_hash", model_hash)
            return run_id
        key = self.client.get_run(run_id).data.tags["training_key"]
        self.client.set_tag(twins[0], "training_key", key)
        self.client.delete_run(run_id)
        return str(twins[0])

    def points(self, run_id: str) -> set[tuple[str, int]]:
        names = self.client.get_run(run_id).data.metrics
        return {(name, point.step) for name in names for point in self.client.get_metric_history(run_id, name)}

    def log_metrics(self, run_id: str, points: Sequence[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        for start in range(0, len(points), 1000):  # MLflow takes 1000 metrics at once
            batch = [Metric(name, value, now, step) for name, value, step in points[start : start + 1000]]
            self.client.log_batch(run_id, metrics=batch)

    def update_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        known = self.client.get_run(run_id).data.metrics
        self.log_metrics(run_id, [(name, value, 0) for name, value in metrics.items() if known.get(name) != value])

    def log_files(self, run_id: str, files: Sequence[Path], folder: str) -> None:
        for path in files:
            self.client.log_artifact(run_id, str(path), folder or None)

    def show(self, metrics: Sequence[str]) -> None:
        """Add columns to the saved view `Results` of MLflow's run table, which keeps the order of HEADLINES."""
        saved = self.client.get_experiment(self.experiment).tags.get(_VIEW_TAG)
        columns = json.loads(json.loads(saved)["state"])["selectedColumns"] if saved else []
        new = [column for column in (f"metrics.`{metric}`" for metric in metrics) if column not in columns]
        if new:
            tasks = [*HEADLINES]
            columns = sorted([*columns, *new], key=lambda column: tasks.index(re.split(r"[`.]", column)[2]))
            self.client.set_experiment_tag(self.experiment, _VIEW_TAG, _saved_view(columns))

    def _create(self, training: Training, tags: Mapping[str, str]) -> Any:
        changed = " ".join(switches(training.params, training.defaults))
        return self.client.create_run(self.experiment, run_name=training.name, tags={**tags, "switches": changed})

    def _log_params(self, run: Any, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        new = [Param(name, value) for name, value in flat(params).items() if name not in run.data.params]
        for start in range(0, len(new), 100):  # MLflow takes 100 parameters at once
            self.client.log_batch(run.info.run_id, params=new[start : start + 100])


def _mlflow() -> Any:
    """Import MLflow, which takes seconds, with its telemetry off and quick to give up on a server that is away."""
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    patience = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    for name, value in (quiet | patience).items():
        os.environ.setdefault(name, value)
    import mlflow
    import mlflow.store.db.utils

    mlflow.store.db.utils.MAX_RETRY_COUNT = 2  # MLflow's own ten attempts to open a database take 100 s

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


def _store_errors() -> tuple[type[Exception], ...]:
    from sqlalchemy.exc import SQLAlchemyError

    return (_mlflow().exceptions.MlflowException, SQLAlchemyError, OSError)


def _raise_if_defect(error: Exception) -> None:
    """A value that MLflow refuses is a fault of this code, not of the store."""
    if getattr(error, "error_code", "") in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
        raise error


@contextmanager
def _warning_only() -> Iterator[None]:
    try:
        yield
    except _store_errors() as error:
        _raise_if_defect(error)
        _warn(error, "the results are complete in reports/; `dvc repro --force --single-item report` logs them again")


def _warn(error: Exception, remedy: str) -> None:
    _LOGGER.warning("MLflow's store %s did not answer (%s): %s.", _shown(tracking_uri()), _first_line(error), remedy)


def _first_line(error: Exception) -> str:
    return _shown((str(error).splitlines() or [type(error).__name__])[0])


def _shown(text: str) -> str:
    """The text without the user name and password that a store's address may hold."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _saved_view(columns: Sequence[str]) -> str:
    widths = {"attributes.`Run Name`": 360} | dict.fromkeys(columns, 200)  # in pixels
    state = {"selectedColumns": columns, "columnOrder": list(widths), "columnWidths": widths}
    view = {"name": "Results", "createdAt": int(time.time() * 1000), "state": json.dumps(state)}
    return json.dumps(view)


def _run_table(found: Sequence[Any]) -> pl.DataFrame:
    metrics = sorted({name for run in found for name in run.data.metrics})
    params = sorted({name for run in found for name in run.data.params})
    rows = [
        {
            "name": run.info.run_name,
            "switches": run.data.tags.get("switches", ""),
            "status": run.info.status,
            "model_hash": run.data.tags.get("model_hash"),
            "started": run.info.start_time,
            **{name: run.data.metrics.get(name) for name in metrics},
            **{f"params.{name}": run.data.params.get(name) for name in params},
        }
        for run in found
    ]
    texts = ["name", "switches", "status", "model_hash"]
    schema = dict.fromkeys(texts, pl.String) | {"started": pl.Int64} | dict.fromkeys(metrics, pl.Float64)
    schema |= {f"params.{name}": pl.String for name in params}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("name", "model_hash", nulls_last=True)
