"""Which run of MLflow a report logs to."""

from pathlib import Path

import pytest

from pipeline.params import compose, parse_params
from pipeline.tracking import Training
from stages.report import evaluated

ROOT = Path(__file__).parents[2]
TRAINING = Training("key", {"method": "medslip", "seed": 0}, {"method": "medslip", "seed": 0})


def run_of(*overrides: str) -> tuple[Training, str]:
    return evaluated(parse_params(compose(ROOT / "conf", list(overrides))[1]), TRAINING, "weights")


@pytest.fixture(autouse=True)
def in_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    "overrides",
    [(), ("scale=tiny",), ("scale=paper", "method=medfilip"), ("finetune.benchmarks=[]",), ("corpus=covid_chestxray",)],
)
def test_a_default_evaluation_belongs_to_the_run_of_its_training(overrides: tuple[str, ...]) -> None:
    assert run_of(*overrides) == (TRAINING, "weights")


def test_another_evaluation_is_a_run_of_its_own_that_says_what_differs() -> None:
    by_name, weights = run_of("evaluation.prompt_style=name")
    tuned, others = run_of("finetune.encoder=full")
    assert by_name.name == "medslip prompt_style=name"
    assert tuned.name == "medslip encoder=full"
    assert len({TRAINING.key, by_name.key, tuned.key}) == len({"weights", weights, others}) == 3
    assert run_of("evaluation.prompt_style=name") == (by_name, weights)
