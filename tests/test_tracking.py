import json
import logging
import sqlite3
from datetime import date
from pathlib import Path

import pytest

from pipeline import tracking
from pipeline.errors import PipelineError
from pipeline.tracking import PublishedRun, Training

DEFAULTS = {
    "seed": 0,
    "method": "medslip",
    "text_encoder": {"source": "corpus", "lr": 0.001},
    "model": {"disentangle": True},
    "loss": {"icl": True},
    "train": {"lr": 0.0001},
}
RESULTS = {
    "auroc": 0.81234567,
    "f1": 0.5,
    "per_class": {"pleural effusion": {"auroc": 0.9, "positives": 12}},
    "by_severity": {"subtle": {"macro": 0.7, "pleural effusion": 0.71}},
    "intervals": {"auroc": [0.78, 0.84]},
    "counts": {"test": 300},
}
PUBLISHED = [
    PublishedRun(
        "p/A",
        "published: A",
        "icl=false",
        "note",
        date(2025, 1, 2),
        {"zero_shot.cxr14.auroc": 0.8, "retrieval.x.p1": 0.1},
    ),
    PublishedRun("p/B", "published: B", "", "note", date(2025, 1, 2), {"retrieval.x.p1": 0.2}),
]


@pytest.fixture(autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with an empty store of its own; making the tables takes seconds, so they are copied."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "dvc.yaml").touch()
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


def changed(**sections: dict[str, object]) -> dict[str, object]:
    return DEFAULTS | {name: {**DEFAULTS[name], **values} for name, values in sections.items()}


def train(key: str = "key", model_hash: str = "hash", epochs: int = 3, **sections: dict[str, object]) -> Training:
    training = Training(key, changed(**sections), DEFAULTS)
    with tracking.training_run(training) as run:
        for epoch in range(epochs):
            run.log({"loss": 1.0 / (epoch + 1)}, epoch)
        run.finish(model_hash)
    return training


def all_runs() -> list:
    return tracking._Store().all_runs()


def curve(name: str = "training/loss") -> list[tuple[int, float]]:
    store = tracking._Store()
    return [(point.step, point.value) for point in store.client.get_metric_history(all_runs()[0].info.run_id, name)]


def test_a_training_is_one_finished_run_with_its_curve() -> None:
    train(loss={"icl": False})
    (run,) = all_runs()
    assert (run.info.run_name, run.info.status) == ("medslip icl=false", "FINISHED")
    assert run.data.tags["model_hash"] == "hash"
    assert run.data.params["loss.icl"] == "false"
    assert curve() == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]


def test_points_are_there_while_the_training_runs() -> None:
    with tracking.training_run(Training("key", DEFAULTS, DEFAULTS)) as run:
        run.log({"loss": 1.0}, 0)
        assert all_runs()[0].info.status == "RUNNING"
        assert curve() == [(0, 1.0)]


def test_only_the_leading_process_makes_a_run() -> None:
    with tracking.training_run(Training("key", DEFAULTS, DEFAULTS), leader=False):
        pass
    assert all_runs() == []


def test_a_rerun_adds_neither_run_nor_points() -> None:
    train()
    train(epochs=4)
    assert len(all_runs()) == 1
    assert [step for step, _ in curve()] == [0, 1, 2, 3]


def test_the_same_weights_under_a_new_key_stay_one_run() -> None:
    training = train(key="old code")
    train(key="new code")
    (run,) = all_runs()
    assert run.data.tags["training_key"] == "new code"
    tracking.log_evaluation("hash", training, "zero_shot", "cxr14", RESULTS)
    assert len(all_runs()) == 1


def test_an_evaluation_finds_the_run_of_its_model(project: Path) -> None:
    train()
    training = train(key="other", model_hash="other hash", loss={"icl": False})
    (project / "scores.json").write_text("{}")
    tracking.log_evaluation("other hash", training, "zero_shot", "cxr14", RESULTS, [project / "scores.json"])
    first, second = all_runs()
    assert "zero_shot.cxr14.auroc" not in first.data.metrics
    assert second.data.metrics["zero_shot.cxr14.auroc"] == 0.81234567
    assert (project / "mlartifacts" / second.info.run_id / "artifacts" / "zero_shot" / "scores.json").is_file()


def test_an_evaluation_restored_from_cache_makes_the_run_that_a_training_then_finds() -> None:
    training = Training("key", DEFAULTS, DEFAULTS)
    tracking.log_evaluation("hash", training, "zero_shot", "cxr14", RESULTS)
    tracking.log_evaluation("hash", training, "zero_shot", "cxr14", RESULTS)
    train()
    (run,) = all_runs()
    assert run.data.metrics.keys() == {
        "training/loss",
        "zero_shot.cxr14.auroc",
        "zero_shot.cxr14.f1",
        "zero_shot.cxr14.auroc/pleural effusion",
        "zero_shot.cxr14.auroc/subtle",
    }
    history = tracking._Store().client.get_metric_history(run.info.run_id, "zero_shot.cxr14.auroc")
    assert len(history) == 1


def test_published_rows_are_logged_once_and_only_what_compares() -> None:
    training = train()
    tracking.log_published(PUBLISHED)
    assert len(all_runs()) == 1
    tracking.log_evaluation("hash", training, "zero_shot", "cxr14", RESULTS)
    tracking.log_published(PUBLISHED)
    tracking.log_published(PUBLISHED)
    published, _ = all_runs()
    assert len(all_runs()) == 2
    assert (published.info.run_name, published.data.tags["published"]) == ("published: A icl=false", "true")
    assert published.data.metrics == {"zero_shot.cxr14.auroc": 0.8}
    assert tracking.runs()["name"].to_list() == ["medslip"]


def test_nothing_of_the_machine_is_logged(project: Path) -> None:
    train(text_encoder={"source": str(project / "bert")})
    (run,) = all_runs()
    assert run.data.params["text_encoder.source"] == "bert"
    assert set(run.data.tags) == {"training_key", "model_hash", "switches", "mlflow.runName"}
    assert str(project) not in str({**run.data.tags, **run.data.params})


def test_a_failed_training_says_so_and_can_go_on() -> None:
    training = Training("key", DEFAULTS, DEFAULTS)

    def stops() -> None:
        with tracking.training_run(training) as run:
            run.log({"loss": 1.0}, 0)
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        stops()
    assert all_runs()[0].info.status == "FAILED"
    train(epochs=2)
    (run,) = all_runs()
    assert (run.info.status, [step for step, _ in curve()]) == ("FINISHED", [0, 1])


def test_a_store_that_is_away_warns_once_and_training_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (project / "mlflow.db").unlink()
    (project / "mlflow.db").mkdir()
    with caplog.at_level(logging.WARNING, "pipeline.tracking"):
        train(epochs=3)
    assert len([record for record in caplog.records if record.name == "pipeline.tracking"]) == 1


def test_a_store_that_comes_back_gets_the_whole_curve(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "RETRY_SECONDS", 0)
    store = (project / "mlflow.db").read_bytes()
    (project / "mlflow.db").unlink()
    (project / "mlflow.db").mkdir()
    with tracking.training_run(Training("key", DEFAULTS, DEFAULTS)) as run:
        run.log({"loss": 1.0}, 0)
        (project / "mlflow.db").rmdir()
        (project / "mlflow.db").write_bytes(store)
        run.log({"loss": 0.5}, 1)
    assert curve() == [(0, 1.0), (1, 0.5)]


def test_an_unreadable_store_names_the_remedy_and_hides_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9/")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(PipelineError, match="check MLFLOW_TRACKING_URI") as caught:
        tracking.runs()
    assert "http://127.0.0.1:9/" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_saved_view_shows_the_headline_of_each_evaluation() -> None:
    training = train()
    tracking.log_evaluation("hash", training, "zero_shot", "cxr14", RESULTS)
    tracking.log_evaluation(
        "hash", training, "grounding", "rsna", {"pointing_game": 0.6, "dice": 0.4, "chance": {"dice": 0.1}}
    )
    store = tracking._Store()
    view = store.client.get_experiment(store.experiment).tags["mlflow.sharedViewState.results"]
    assert "zero_shot.cxr14.auroc`" in view
    assert "grounding.rsna.pointing_game`" in view
    assert "zero_shot.cxr14.f1`" not in view
    assert tracking.results_page().endswith("viewStateShareKey=results")


@pytest.mark.parametrize("inside", ["", "stages", ".dvc/tmp/exps/tmpab12", ".dvc/tmp/exps/standalone/tmpab12/stages"])
def test_the_project_is_found_from_experiments_of_dvc(project: Path, inside: str) -> None:
    folder = project / inside
    folder.mkdir(parents=True, exist_ok=True)
    if "exps" in inside:
        (project / ".dvc/tmp/exps/tmpab12").mkdir(parents=True, exist_ok=True)
        (folder / "dvc.yaml").touch()  # the copy has one too
    assert tracking.project_root(folder) == project.resolve()


def test_an_experiment_of_dvc_logs_to_the_projects_store(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project / ".dvc/tmp/exps/standalone/tmpab12"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    train()
    with sqlite3.connect(project / "mlflow.db") as store:
        assert store.execute("select count(*) from runs").fetchone() == (1,)
    assert not list(folder.iterdir())


def test_metrics_leave_out_what_is_no_finite_number() -> None:
    results = {"auroc": float("nan"), "f1": 1, "ready": True, "name": "x", "per_class": {"mass": {"auroc": None}}}
    assert tracking.flat_metrics(results, "zero_shot", "b") == {"zero_shot.b.f1": 1.0}


def test_metrics_over_the_most_common_findings_are_logged_under_their_number() -> None:
    results = {"auroc": 0.8, "common10": {"findings": ["mass"], "f1_oracle": 0.3, "f1": None}}
    assert tracking.flat_metrics(results, "zero_shot", "cxr14") == {
        "zero_shot.cxr14.auroc": 0.8, "zero_shot.cxr14.common10.f1_oracle": 0.3,
    }  # fmt: skip


def test_every_task_has_its_figures_and_headlines() -> None:
    training = train()
    tuned = {"auroc_1": 0.6, "auroc_10": 0.7, "auroc_100": 0.8, "random_auroc_1": 0.5, "encoder": "frozen"}
    runs = {"pretrained": {"1": {"auroc": 0.6, "per_class": {"mass": 0.7}}}}
    tracking.log_evaluation("hash", training, "finetune", "cxr14", tuned | {"runs": runs})
    segmented = {"dice_1": 0.1, "dice_10": 0.2, "dice_100": 0.3, "dice_positive_10": 0.1, "random_dice_10": 0.1}
    tracking.log_evaluation("hash", training, "segmentation", "siim", segmented)
    found = {"image_to_text": {"p_at_10": 0.5}, "text_to_image": {"p_at_10": 0.4}, "pairs": 100}
    tracking.log_evaluation("hash", training, "retrieval", "corpus", found)
    tracking.log_evaluation("hash", training, "zero_shot", "cxr14", RESULTS)
    logged = all_runs()[0].data.metrics
    assert logged["finetune.cxr14.random_auroc_1"] == 0.5
    assert logged["retrieval.corpus.text_to_image_p_at_10"] == 0.4
    assert len([name for name in logged if name.startswith("finetune")]) == 4  # what is deeper stays in the JSON
    store = tracking._Store()
    view = json.loads(store.client.get_experiment(store.experiment).tags["mlflow.sharedViewState.results"])
    assert json.loads(view["state"])["selectedColumns"] == [
        f"metrics.`{name}`"
        for name in (
            "zero_shot.cxr14.auroc", "finetune.cxr14.auroc_1", "finetune.cxr14.auroc_10", "finetune.cxr14.auroc_100",
            "segmentation.siim.dice_1", "segmentation.siim.dice_10", "segmentation.siim.dice_100",
            "retrieval.corpus.image_to_text_p_at_10", "retrieval.corpus.text_to_image_p_at_10",
        )
    ]  # fmt: skip
