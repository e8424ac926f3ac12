import pytest

from pipeline.evaluation import overlap
from pipeline.evaluation.common_findings import COMMON
from pipeline.evaluation.retrieval import KS
from pipeline.evaluation.subsets import PERCENTS
from pipeline.evaluation.unseen import CATEGORY, EXPLANATION
from pipeline.reporting.pictures import BENCHMARKS
from pipeline.reporting.published import MAIN_MODELS, papers, published_rows


def row(key: str) -> dict[str, float]:
    return dict(next(row for row in published_rows() if row.key == key).metrics)


def test_figures_are_fractions_under_this_projects_names() -> None:
    medslip = row("medslip/MeDSLIP")
    assert medslip["zero_shot.cxr14.auroc"] == pytest.approx(0.8034)
    assert medslip["zero_shot.covidx.f1_oracle"] == pytest.approx(0.7715)
    assert medslip["grounding.rsna.pointing_game"] == pytest.approx(0.911)
    assert medslip["finetune.siim.auroc_1"] == pytest.approx(0.8806)
    assert row("medfilip/MedFILIP")["segmentation.siim.dice_100"] == pytest.approx(0.8065)
    assert row("medfilip/MedFILIP")["retrieval.corpus.text_to_image_p_at_10"] == pytest.approx(0.5663)
    assert row("medfilip/MedFILIP")["zero_shot.rsna.accuracy_oracle"] == pytest.approx(0.8123)
    assert all(0 <= value <= 1 for row in published_rows() for value in row.metrics.values())


ORACLE = ("f1_oracle", "accuracy_oracle")
PRODUCED = {
    "zero_shot": {"auroc", *ORACLE, *(f"common{count}.{name}" for count in COMMON.values() for name in ORACLE)},
    "grounding": {*overlap.METRICS},
    "finetune": {f"{name}_{percent}" for name in ("auroc", *ORACLE) for percent in PERCENTS},
    "segmentation": {f"dice_{percent}" for percent in PERCENTS},
    "retrieval": {f"{way}_p_at_{k}" for way in ("image_to_text", "text_to_image") for k in KS},
    "unseen": {f"{naming}_{name}" for naming in (CATEGORY, EXPLANATION) for name in ORACLE},
}


def test_every_published_metric_is_one_that_a_run_can_have() -> None:
    for name in (name for row in published_rows() for name in row.metrics):
        task, benchmark, metric = name.split(".", 2)
        assert metric in PRODUCED[task], name
        assert benchmark in BENCHMARKS, name
        assert not metric.startswith("common") or metric.startswith(f"common{COMMON[benchmark]}."), name


def test_no_published_f1_or_accuracy_claims_an_honest_threshold() -> None:
    names = {name.rpartition(".")[2] for row in published_rows() for name in row.metrics}
    assert not names & {"f1", "accuracy"}


def test_every_row_says_that_it_is_published_and_where() -> None:
    for published in published_rows():
        assert published.name.startswith("published: ")
        assert "arXiv" in published.note
        assert published.name.endswith("paper)")


def test_rows_are_unique_and_ablations_name_their_switches() -> None:
    keys = [row.key for row in published_rows()]
    assert len(keys) == len(set(keys))
    ablation = next(row for row in published_rows() if row.switches == "protocl=false icl=false")
    assert ablation.name == "published: MeDSLIP (ablation, MeDSLIP paper)"
    assert ablation.metrics["zero_shot.rsna.auroc"] == pytest.approx(0.8562)


def test_each_method_has_its_authors_row() -> None:
    assert set(MAIN_MODELS) == set(papers())
    assert set(MAIN_MODELS.values()) <= {row.key for row in published_rows()}
