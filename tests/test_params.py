import copy
from pathlib import Path
from typing import get_args

import pytest

from pipeline.benchmarks import BENCHMARKS
from pipeline.corpora import CORPORA
from pipeline.errors import ParamsError
from pipeline.params import BENCHMARKS as KNOWN
from pipeline.params import Corpus, compose, load_params, parse_params

ROOT = Path(__file__).parents[1]


def test_params_yaml_is_the_composition_of_the_defaults():
    text, _ = compose(ROOT / "conf")
    assert (ROOT / "params.yaml").read_text() == text, "run `cxr compose`"


@pytest.mark.parametrize("group", ["corpus", "method", "scale"])
def test_every_group_composes_to_valid_params(group):
    for option in sorted((ROOT / "conf" / group).glob("*.yaml")):
        _, values = compose(ROOT / "conf", [f"{group}={option.stem}"])
        parse_params(values)


def test_every_benchmark_can_be_added_to_any_corpus():
    names = [path.stem for path in (ROOT / "conf/benchmark").glob("*.yaml")]
    assert set(names) == set(BENCHMARKS) == set(KNOWN)
    _, values = compose(ROOT / "conf", ["corpus=csv", f"+benchmark=[{','.join(sorted(names))}]"])
    params = parse_params(values)
    assert list(params.benchmarks) == sorted(names)
    for name, benchmark in params.benchmarks.items():
        source = BENCHMARKS[name].SOURCE
        assert (benchmark.folder, benchmark.labels in source.label_files) == (source.folder, True)


def test_every_corpus_has_a_reader_of_its_usual_folder():
    assert set(get_args(Corpus.model_fields["name"].annotation)) == set(CORPORA)
    for name in CORPORA:
        _, values = compose(ROOT / "conf", [f"corpus={name}"])
        assert values["corpus"]["folder"] == CORPORA[name].SOURCE.folder
        assert values["corpus"]["labels"] in CORPORA[name].SOURCE.label_files


@pytest.mark.parametrize("method", ["medslip", "medfilip", "convirt"])
@pytest.mark.parametrize("scale", ["demo", "tiny", "paper"])
def test_every_method_has_its_own_values_at_every_scale(method, scale):
    _, values = compose(ROOT / "conf", [f"method={method}", f"scale={scale}"])
    params = parse_params(values)
    assert (params.method, params.scale) == ("medslip" if method == "medslip" else "medfilip", scale)
    size = {"demo": 112, "tiny": 64, "paper": 224 if method == "medslip" else 448}[scale]
    assert params.images.size == size
    assert params.labels.entities == (method != "convirt")


def test_the_papers_medfilip():
    _, values = compose(ROOT / "conf", ["scale=paper", "method=medfilip"])
    params = parse_params(values)
    assert (params.train.optimizer, params.train.lr, params.train.epochs) == ("sgd", 0.006, 100)
    assert params.train.restarts > 0
    assert params.text_encoder.source == "emilyalsentzer/Bio_ClinicalBERT"
    assert (params.loss.itm, params.loss.ssm, params.loss.plain, params.loss.texts) == ("ce", True, 0.0, 0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method=medfilip", "+loss.icl=true"], "loss.icl is not a parameter"),
        (["+loss.ssm=true"], "loss.ssm is not a parameter"),
        (["method=medfilip", "labels.entities=false"], "augment.flip = laterality needs labels.entities: set none"),
        (["method=convirt", "labels.unmentioned=ignore"], "labels.unmentioned = ignore needs labels.entities"),
        (["knowledge.explanations=false"], "knowledge.explanations is MedFILIP's switch"),
        (["method=medfilip", "model.imported=models/x"], "model.imported = 'models/x'"),
    ],
)
def test_settings_of_one_method_are_none_of_the_other(overrides, message):
    _, values = compose(ROOT / "conf", overrides)
    with pytest.raises(ParamsError, match=message):
        parse_params(values)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["~benchmarks.rsna"], "params.yaml: grounding names 'rsna', which is not among the benchmarks"),
        (
            ["+benchmarks.nih={folder: nih, labels: a.csv}"],
            "params.yaml: benchmarks.nih is no benchmark; those are cxr14, rsna",
        ),
        (["~benchmarks.rahman"], "params.yaml: unseen names 'rahman', which is not among the benchmarks"),
        (["corpus_benchmarks=[mimic17]"], "corpus_benchmarks.0 = 'mimic17'"),
        (["+benchmarks.rsna.votes=2"], "benchmarks.rsna.votes is not a parameter"),
        (["+benchmark=vinbigdata", "benchmarks.vinbigdata.votes=4"], "benchmarks.vinbigdata.votes = 4"),
    ],
)
def test_benchmarks_must_fit(overrides, message):
    _, values = compose(ROOT / "conf", overrides)
    with pytest.raises(ParamsError, match=message):
        parse_params(values)


def test_override_changes_one_value():
    _, default = compose(ROOT / "conf")
    _, changed = compose(ROOT / "conf", ["loss.icl=false"])
    assert default["loss"].pop("icl") is True
    assert changed["loss"].pop("icl") is False
    assert default == changed


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        ("images", "size", 7, "images.size = 7"),
        ("images", "sise", 64, "images.sise is not a parameter"),
        ("labels", "unmentioned", "maybe", "labels.unmentioned = 'maybe'"),
        ("loss", "icl", "perhaps", "loss.icl = 'perhaps'"),
        ("train", "epochs", 0, "train.epochs = 0"),
    ],
)
def test_a_bad_value_is_named_with_its_range(section, name, value, message):
    _, values = compose(ROOT / "conf")
    values = copy.deepcopy(values)
    values[section][name] = value
    with pytest.raises(ParamsError, match=message.replace(".", r"\.")):
        parse_params(values)


def test_a_missing_section_is_named():
    _, values = compose(ROOT / "conf")
    del values["images"]
    with pytest.raises(ParamsError, match="images is missing"):
        parse_params(values)


def test_unknown_override_is_named():
    with pytest.raises(ParamsError, match="conf does not compose"):
        compose(ROOT / "conf", ["loss.nonsense=1"])


def test_a_stage_sees_only_what_it_declares(monkeypatch):
    monkeypatch.chdir(ROOT)
    params = load_params(["images"])
    assert params.images.size > 0
    with pytest.raises(AttributeError):
        params.corpus  # noqa: B018


def test_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ParamsError, match="cxr compose"):
        load_params(["images"], tmp_path / "params.yaml")


def test_broken_yaml_says_what_to_do(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: [1")
    with pytest.raises(ParamsError, match="not valid YAML"):
        load_params(["images"], path)
