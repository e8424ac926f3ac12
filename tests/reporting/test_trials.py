"""Configurations, their intervals and tests, from runs and kept scores that this file writes."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from pipeline.ablation import Ablation
from pipeline.errors import ParamsError
from pipeline.evaluation import statistics
from pipeline.evaluation.results import write_results
from pipeline.kept_scores import keep_scores
from pipeline.reporting import trials
from pipeline.reporting.sheets import terminal_table
from pipeline.reporting.trials import compare_trials, configurations, estimate, rows_of_ablation, t_interval
from pipeline.schemas import SCORES, write_table

AUROC, POINTING = "zero_shot.rsna.auroc", "grounding.rsna.pointing_game"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(name: str, auroc: float | None, seed: int = 0, icl: str = "true", model: str = "", started: int = 0) -> dict:
    switches = name.partition(" ")[2]
    return {
        "name": name, "switches": switches, "status": "FINISHED", "started": started,
        "model_hash": model or name.replace(" ", "-"), AUROC: auroc,
        "params.seed": str(seed), "params.loss.icl": icl, "params.scale": "demo",
    }  # fmt: skip


def keep(model: str, seed: int, quality: float, images: int = 60, shift: int = 0) -> None:
    """Scores of a model: the better, the higher `quality`; the images depend on `shift` alone."""
    labels = np.arange(images) % 3 == 0
    values = quality * labels + np.random.default_rng([seed, int(10 * quality)]).random(images)
    names = [f"image{number + shift}" for number in range(images)]
    table = pl.DataFrame({
        "image_id": names, "patient_id": names, "split": "test", "finding": "pneumonia",
        "label": labels.astype(np.int8), "score": values.astype(np.float32),
        "severity": pl.Series([None] * images, dtype=pl.String),
    })  # fmt: skip
    write_table(table, Path("rsna.parquet"), SCORES)
    write_results({"auroc": 0.8, "intervals": {"auroc": [0.7, 0.9]}}, Path("rsna.json"))
    keep_scores(model, "zero_shot", Path("rsna.json"))


def table(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema_overrides={AUROC: pl.Float64})


def text(sheets: list) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    for sheet in sheets:
        console.print(terminal_table(sheet))
    return console.export_text()


def test_runs_that_differ_in_their_seed_are_one_configuration() -> None:
    found, notes = configurations(table(
        run("medslip", 0.8), run("medslip seed=1", 0.9, 1), run("medslip seed=2 icl=false", 0.7, 2, "false"),
        run("medslip icl=false", 0.6, 0, "false"), run("medslip scale=tiny", None),
    ))  # fmt: skip
    assert [(one.name, [*one.trials]) for one in found] == [("medslip", [0, 1]), ("medslip icl=false", [0, 2])]
    assert notes == []


def test_the_newest_of_equal_runs_stands_and_a_note_says_so() -> None:
    found, notes = configurations(table(
        run("medslip", 0.9, model="new", started=2), run("medslip", 0.1, model="old", started=1),
        run("medslip icl=false", 0.5, icl="was", model="before", started=0),
        run("medslip icl=false", 0.6, icl="false", model="after", started=3),
    ))  # fmt: skip
    assert [one.trials[0].model_hash for one in found] == ["new", "after"]
    assert "medslip: 1 older runs with the same seed are left out." in notes
    assert "medslip icl=false: older runs of this name had other parameters and are left out." in notes


def test_several_seeds_have_a_t_interval_by_hand() -> None:
    found, _ = configurations(table(*(run(f"medslip seed={n}", value, n) for n, value in enumerate((0.5, 0.6, 0.7)))))
    reach = 4.3027 * 0.1 / 3**0.5  # t(0.975, 2) and a standard deviation of 0.1
    assert estimate(found[0], AUROC) == f"0.600 ({0.6 - reach:.3f} to {0.6 + reach:.3f})"


@pytest.mark.parametrize(("metric", "interval"), [(AUROC, (0.0, 1.0)), ("finding_maps.cxr14.silhouette", (-1.0, 1.0))])
def test_an_interval_ends_where_its_metric_does(metric: str, interval: tuple[float, float]) -> None:
    assert t_interval([0.1, 0.9], metric) == interval  # 0.5 and 12.7 * 0.4 to either side


def test_one_seed_has_the_bootstrap_interval_of_its_run_where_it_is_kept() -> None:
    (one,), _ = configurations(table(run("medslip", 0.8)))
    assert estimate(one, AUROC) == "0.800"
    keep("medslip", 0, 1.0)
    assert estimate(one, AUROC) == "0.800 (0.700 to 0.900)"
    assert estimate(one, POINTING) == ""


KEPT = {
    "finetune": {"runs": {
        "pretrained": {"10": {"auroc_interval": [0.1, 0.2]}}, "random": {"10": {"auroc_interval": [0.3, 0.4]}},
    }},
    "segmentation": {"runs": {
        "pretrained": {"1": {"dice_interval": [0.5, 0.6], "dice_positive_interval": [0.7, 0.8]}},
    }},
    "retrieval": {"image_to_text": {"p_at_10_interval": [0.2, 0.3]}, "text_to_image": {"p_at_10_interval": [0.4, 0.5]}},
    "unseen": {"name": 0.6},
}  # fmt: skip
INTERVALS = {
    "finetune.b.auroc_10": " (0.100 to 0.200)", "finetune.b.random_auroc_10": " (0.300 to 0.400)",
    "finetune.b.f1_oracle_10": "", "segmentation.b.dice_1": " (0.500 to 0.600)",
    "segmentation.b.dice_positive_1": " (0.700 to 0.800)", "segmentation.b.dice_10": "",
    "retrieval.b.image_to_text_p_at_10": " (0.200 to 0.300)", "retrieval.b.text_to_image_p_at_10": " (0.400 to 0.500)",
    "retrieval.b.p_at_10": "", "unseen.b.name": "",
}  # fmt: skip


def test_what_is_not_paired_is_said_to_be_so_here() -> None:
    name = "retrieval.b.image_to_text_p_at_10"
    rows = run("medslip", None) | {name: 0.4}, run("medslip icl=false", None, 0, "false") | {name: 0.3}
    (note,) = compare_trials(configurations(table(*rows))[0], "medslip", None).notes
    assert note == f"No test of {name}: only zero-shot and grounding results are paired here, image by image."


@pytest.mark.parametrize("metric", INTERVALS)
def test_one_seed_has_the_interval_of_every_task_that_gives_one(metric: str) -> None:
    (one,), _ = configurations(table(run("medslip", None) | {metric: 0.45}))
    assert estimate(one, metric) == "0.450"
    task = metric.partition(".")[0]
    write_results(KEPT[task], Path("b.json"))
    keep_scores("medslip", task, Path("b.json"))
    assert estimate(one, metric) == f"0.450{INTERVALS[metric]}"


def test_unequal_seeds_are_paired_on_the_common_ones() -> None:
    rows = []
    for name, icl, quality, seeds in (("medslip", "true", 1.0, (0, 1)), ("medslip icl=false", "false", 0.4, (1, 2))):
        for seed in seeds:
            rows.append(run(f"{name} seed={seed}", 0.8, seed, icl, model=f"{icl}{seed}"))
            keep(f"{icl}{seed}", seed, quality)
    (tested,) = compare_trials(configurations(table(*rows))[0], "medslip", None).tests
    assert tested.seeds == 1
    labels = np.arange(60) % 3 == 0
    sides = [np.float32(q * labels + np.random.default_rng([1, int(10 * q)]).random(60)) for q in (0.4, 1.0)]
    assert tested.verdict.test == statistics.delong_test(labels, *sides)
    assert tested.verdict.kind == "DeLong"


def test_no_seed_in_common_is_said() -> None:
    rows = run("medslip", 0.8, 0), run("medslip seed=1 icl=false", 0.8, 1, "false")
    found = compare_trials(configurations(table(*rows))[0], "medslip", None)
    assert found.tests == ()
    assert found.notes == ("No tests: medslip icl=false and medslip have no seed in common.",)


def test_a_missing_table_is_named_and_tests_nothing() -> None:
    keep("medslip", 0, 1.0)
    found = compare_trials(
        configurations(table(run("medslip", 0.8), run("medslip icl=false", 0.7, 0, "false")))[0], "medslip", None
    )
    assert found.tests == ()
    (note,) = found.notes
    assert (
        f"No test of {AUROC}: .scores/medslip-icl=false lacks the per-image results of medslip icl=false, seed 0"
        in note
    )
    assert "dvc repro --force --single-item report" in note


def test_other_images_are_named_and_test_nothing() -> None:
    keep("medslip", 0, 1.0)
    keep("medslip-icl=false", 0, 0.5, shift=30)
    found = compare_trials(
        configurations(table(run("medslip", 0.8), run("medslip icl=false", 0.7, 0, "false")))[0], "medslip", None
    )
    assert found.tests == ()
    assert "medslip icl=false and medslip were evaluated on different test images" in found.notes[0]


def test_p_values_are_corrected_for_their_number() -> None:
    keep("medslip", 0, 1.0)
    rows = [run("medslip", 0.8)]
    for number, quality in enumerate((0.9, 0.6, 0.3)):
        rows.append(run(f"medslip proto={number}", 0.7, 0, str(number), model=str(number)))
        keep(str(number), 0, quality)
    found = compare_trials(configurations(table(*rows))[0], "medslip", None)
    raw = [one.verdict.test.p_value for one in found.tests]
    assert len(raw) == 3
    shown = [line.cells[3] for line in found.sheets()[1].lines]
    assert shown == [trials.p_value(value) for value in statistics.holm(raw)]
    assert shown != [trials.p_value(value) for value in raw]


@pytest.mark.parametrize("reference", ["medslip icl=false", "icl=false", "medslip seed=1 icl=false"])
def test_a_reference_is_a_name_or_switches(reference: str) -> None:
    found, _ = configurations(table(run("medslip", 0.8), run("medslip icl=false", 0.7, 0, "false")))
    assert compare_trials(found, reference, None).reference == "medslip icl=false"


def test_of_several_references_the_shortest_name_counts_and_equals_are_an_error() -> None:
    names = "medslip tiny icl=false", "medslip tiny icl=false lr=1", "medslip tiny lr=1", "medslip tiny lr=1 epochs=2"
    found, _ = configurations(table(*(run(name, 0.5, icl=name) for name in names)))
    assert compare_trials(found, "icl=false", None).reference == "medslip tiny icl=false"
    assert compare_trials(found, "lr=1", None).reference == "medslip tiny lr=1"
    with pytest.raises(
        ParamsError, match=r"'medslip' names 2 .*: choose one of medslip tiny icl=false, medslip tiny lr=1"
    ):
        compare_trials(found, "medslip", None)


def test_an_unknown_reference_or_metric_names_the_known() -> None:
    found, _ = configurations(table(run("medslip", 0.8)))
    with pytest.raises(ParamsError, match="'icl=true' names 0 configurations, not one: choose one of medslip"):
        compare_trials(found, "icl=true", None)
    with pytest.raises(ParamsError, match=r"No run has the metric zero_shot\.rsna\.f1"):
        compare_trials(found, "medslip", "zero_shot.rsna.f1")


class Rows(Ablation):
    """An ablation whose parameters need no configuration to compose."""

    def params(self, row: str) -> dict[str, str]:
        return {"loss.icl": "true" if row == "full" else "false", "scale": "demo", "evaluation.resamples": "100"}


def test_the_rows_of_an_ablation_find_their_runs_by_parameters() -> None:
    ablation = Rows("medslip", {"without": ("loss.icl=false",), "full": ()}, "full")
    runs = table(
        run("a", 0.5, 0, "false"), run("b", 0.6, 1, "false"), run("c", 0.7), run("d", 0.1) | {"params.scale": "tiny"},
        run("e", 0.1) | {"params.loss.icl": None},
    )  # fmt: skip
    (without, full), notes = rows_of_ablation(ablation, runs)
    assert [trial.model_hash for trial in without.trials.values()] == ["a", "b"]
    assert [trial.model_hash for trial in full.trials.values()] == ["c"]
    assert notes == []


def test_a_row_without_a_run_is_named_and_the_table_stands() -> None:
    ablation = Rows("medslip", {"without": ("loss.icl=false",), "full": ()}, "full")
    found, notes = rows_of_ablation(ablation, table(run("a", 0.5, 0, "false")))
    compared = compare_trials(found, ablation.reference, None, notes)
    assert compared.notes == ("full: no run in MLflow; `cxr ablate` makes it.", "No tests: full has no run.")
    printed = text(compared.sheets())
    assert [line.split()[:2] for line in printed.splitlines() if "full" in line] == [["full", "0"]]
    assert "0.500" in printed


def test_the_smallest_p_of_a_bootstrap_survives_the_correction_for_a_hundred_tests() -> None:
    nothing = np.zeros(trials.RESAMPLES)
    smallest = statistics.paired_bootstrap(1.0, nothing + 1, nothing).p_value
    assert statistics.holm([smallest] * 100).max() < 0.05
