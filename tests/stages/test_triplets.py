"""The triplets stage: its metrics, from either source, and what is left when it stops."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml
from chat_server import Request, Response, entities, serving

from pipeline.errors import DatasetError, ParamsError
from pipeline.params import compose
from pipeline.schemas import STUDIES, TRIPLETS, read_table, write_table
from stages import triplets
from stages.common import stage_params

ROOT = Path(__file__).parents[2]
_ENTITY = {"tokens": "effusion", "label": "OBS-U", "start_ix": 0, "end_ix": 0, "relations": []}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tables the stage reads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(triplets, "workers", lambda: 1)
    studies = pl.DataFrame({
        "study_id": ["1", "2"], "patient_id": ["1", "2"], "split": ["train", "train"],
        "report": ["Effusion in the ___.", "No edema.\n\nEdema."], "sections": ["findings", "impression+addendum"],
    })  # fmt: skip
    write_table(studies, Path("data/corpus/studies.parquet"), STUDIES)
    return tmp_path


def _run(*overrides: str) -> dict[str, object]:
    Path("params.yaml").write_text(compose(ROOT / "conf", overrides)[0])
    triplets.main()
    return json.loads(Path("reports/triplets.json").read_text())


def test_spacy(project: Path):
    metrics = _run()
    assert metrics == {
        "studies": 2,
        "extracted": 3,
        "studies_without_triplets": 0,
        "sections": {
            "reports": 2, "reports_of_findings": 1, "reports_of_impression+addendum": 1, "reports_with_addenda": 1,
            "reports_with_masked_words": 1, "masked_words": 1, "reports_without_text": 0,
        },
    }  # fmt: skip
    assert not any(Path(".checkpoints/triplets").glob("*/*"))


def test_scores_where_the_truth_is_known(project: Path):
    truth = pl.DataFrame({
        "study_id": ["1", "2", "gone"], "pathology": ["pleural effusion", "edema", "mass"],
        "anatomy": ["pleura", "lung", "lung"], "existence": ["present", "present", "present"],
        "severity": ["mild", None, None],
    })  # fmt: skip
    Path("data/phantom/truth").mkdir(parents=True)
    truth.write_parquet("data/phantom/truth/triplets.parquet")
    metrics = _run()
    assert metrics["micro_recall"] == 1.0
    assert metrics["severity"] == {"findings": 2, "graded": 1, "accuracy": 0.5, "accuracy_graded": 0.0}


def test_graphs(project: Path):
    Path("graphs.json").write_text(json.dumps({"p1/p10/s1.txt": {"text": "effusion", "entities": {"1": _ENTITY}}}))
    metrics = _run("extraction.source=graphs", "extraction.graphs=graphs.json")
    assert metrics["extracted"] == metrics["annotations"] == metrics["studies_without_annotation"] == 1
    assert metrics["studies_without_triplets"] == 1
    assert read_table(Path("data/triplets.parquet"), TRIPLETS)["existence"].to_list() == ["uncertain"]


def _read_by_model(request: Request) -> Response:
    """As a model may read the two reports of the project: an invented entity and an unknown category among them."""
    if "Effusion" in request.report:
        return entities(
            {"category": "pleural effusion", "evidence": "Effusion", "severity": "mild", "location": "left"},
            {"category": "pneumothorax", "evidence": "Large pneumothorax"},
        )
    return entities(
        {"category": "edema", "evidence": "No edema", "negated": True}, {"category": "gout", "evidence": "E"}
    )


def test_llm(project: Path):
    prices = ["extraction.llm.price_per_million_input=2", "extraction.llm.price_per_million_output=10"]
    with serving(_read_by_model) as server:
        settings = ["extraction.source=llm", "extraction.llm.model=m", f"extraction.llm.base_url={server.url}"]
        metrics = _run(*settings, *prices)
        table = read_table(Path("data/triplets.parquet"), TRIPLETS)
        assert table.rows() == [
            ("1", 0, "pleural effusion", "left pleura", "present", "mild", 0, 8),
            ("2", 0, "edema", "lung", "absent", None, 3, 8),
        ]
        expected = {
            "studies": 2, "extracted": 2, "reports_asked": 2, "reports_cached": 0, "reports_failed": 0,
            "reports_without_text": 0, "answers_invalid": 0, "prompt_tokens": 200, "completion_tokens": 20,
            "entities": 4, "entities_without_category": 0, "evidence_not_in_report": 1, "unknown_category": 1,
            "unknown_location": 0, "studies_without_triplets": 0,
        }  # fmt: skip
        assert metrics.pop("cost") == pytest.approx(200 * 2e-6 + 20 * 10e-6)
        metrics.pop("sections")
        assert metrics == expected
        again = _run(*settings)
        again.pop("sections")
        assert again == expected | {"reports_asked": 0, "reports_cached": 2}
        assert read_table(Path("data/triplets.parquet"), TRIPLETS).equals(table)
        assert len(server.requests) == 2
    left_out = json.loads(Path(".checkpoints/llm/left_out.json").read_text())
    assert left_out == {"failed": {}, "unknown_categories": {"gout": 1}}


def test_a_remote_model_gets_no_report(project: Path):
    with pytest.raises(ParamsError, match=r"at 8\.8\.8\.8, neither this machine .*may not be sent to third parties"):
        _run("extraction.source=llm", "extraction.llm.model=m", "extraction.llm.base_url=http://8.8.8.8/v1")
    assert not Path("reports").exists()


def test_a_key_among_the_parameters_is_refused_and_not_shown(project: Path):
    with pytest.raises(ParamsError, match="never the key itself") as caught:
        _run("extraction.llm.api_key_env=sk-0123456789")
    assert "0123456789" not in str(caught.value)


def test_radgraphs_weights_are_a_dependency_and_come_from_the_hub_where_no_folder_is_named(project: Path):
    default = yaml.safe_load(compose(ROOT / "conf", [])[0])["extraction"]["radgraph"]["folder"]
    assert (ROOT / default).is_file()
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["triplets"]
    assert "${extraction.radgraph.folder}" in stage["deps"]
    for overrides, folder in ([], ""), (["extraction.radgraph.folder=/data/radgraph"], "/data/radgraph"):
        Path("params.yaml").write_text(compose(ROOT / "conf", overrides)[0])
        assert triplets.radgraph(stage_params("extraction").extraction).folder == folder


def test_the_empty_file_is_no_source(project: Path):
    Path("none.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"none.json has 0 annotations and none .* set extraction.graphs"):
        _run("extraction.source=graphs", "extraction.graphs=none.json")
