import copy
from pathlib import Path

import pytest

from pipeline.errors import ParamsError
from pipeline.params import compose, load_params, parse_params

ROOT = Path(__file__).parents[2]


def test_params_yaml_is_the_composition_of_the_defaults():
    text, _ = compose(ROOT / "conf")
    assert (ROOT / "params.yaml").read_text() == text, "run `cxr compose`"


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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.iicl=false", r"^loss.iicl is not a parameter: loss has icl, icl_scale, .*, tau\.$"),
        (
            "benchmarks.rsna.foldr=x",
            r"^benchmarks.rsna.foldr is not a parameter: benchmarks.rsna has folder, labels\.$",
        ),
        ("los.icl=false", r"^los is not a parameter: conf has augment, .*, unseen\.$"),
        ("corpus=3", r"^conf does not compose: .*Got int\. "),
        ("scale=huge", r"^conf/scale/huge.yaml does not exist: there are demo, paper, tiny\.$"),
        ("~benchmarks.none", r"^conf does not compose: .*'benchmarks.none' does not exist\. "),
        ("loss.icl=${loss.none}", r"^conf does not compose: .*'loss.none' not found\. "),
    ],
)
def test_an_override_that_does_not_compose_is_one_sentence_with_what_there_is(monkeypatch, override, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ParamsError, match=message) as caught:
        compose(Path("conf"), [override])
    assert "\n" not in str(caught.value)


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
