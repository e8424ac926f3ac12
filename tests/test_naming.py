from pathlib import Path

import pytest

from pipeline.naming import run_name, switches
from pipeline.params import compose

ROOT = Path(__file__).parents[1]
DEFAULTS = {
    "seed": 0,
    "method": "medslip",
    "text_encoder": {"source": "corpus", "lr": 0.001},
    "model": {"disentangle": True},
    "loss": {"icl": True, "protocl": True},
    "train": {"lr": 0.0001},
}
MEDKLIP = """
defaults: [medslip, _self_]
model: {disentangle: false}
loss: {protocl: false, icl: false}
"""


def changed(**sections: dict[str, object]) -> dict[str, object]:
    return DEFAULTS | {name: {**DEFAULTS[name], **values} for name, values in sections.items()}


def test_run_names_say_what_changed() -> None:
    assert run_name(DEFAULTS, DEFAULTS) == "medslip"
    assert run_name({"method": "medslip", "warmup": 1.0}, {"method": "medslip", "warmup": 1}) == "medslip"
    assert run_name(changed(loss={"icl": False}), DEFAULTS) == "medslip icl=false"
    assert run_name(changed(train={"lr": 0.01}) | {"seed": 3}, DEFAULTS) == "medslip seed=3 train.lr=0.01"
    assert run_name({"method": "medfilip", "new": [1, 2]}, {"method": "medslip", "old": 1}) == (
        "medfilip old=unset new=[1, 2]"
    )


@pytest.fixture
def methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "conf/method"
    folder.mkdir(parents=True)
    (folder / "medslip.yaml").write_text("method: medslip\n")
    (folder / "medklip.yaml").write_text(MEDKLIP)
    (folder / "lone.yaml").write_text("defaults: [medslip, _self_]\nmodel: {disentangle: false}\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("methods")
def test_a_run_with_a_baselines_settings_is_called_by_it() -> None:
    both = changed(model={"disentangle": False}, loss={"icl": False, "protocl": False}, train={"lr": 0.01})
    assert run_name(both, DEFAULTS) == "medklip-style train.lr=0.01"
    assert switches(both, DEFAULTS) == ["train.lr=0.01"]


@pytest.mark.usefixtures("methods")
def test_the_baseline_that_sets_most_names_the_run_and_a_part_of_one_does_not() -> None:
    assert run_name(changed(model={"disentangle": False}), DEFAULTS) == "lone-style"
    assert run_name(changed(loss={"icl": False, "protocl": False}), DEFAULTS) == "medslip icl=false protocl=false"
    assert run_name(changed(model={"disentangle": False}) | {"method": "other"}, DEFAULTS) == "other disentangle=false"


@pytest.mark.parametrize("scale", ["demo", "paper", "tiny"])
def test_medklip_is_a_setting_of_medslip(scale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    chosen = compose(ROOT / "conf", ["method=medklip", f"scale={scale}"])[1]
    assert run_name(chosen, compose(ROOT / "conf", [f"scale={scale}"])[1]) == "medklip-style"
    assert (chosen["method"], chosen["model"]["disentangle"], chosen["loss"]["protocl"], chosen["loss"]["icl"]) == (
        "medslip", False, False, False,
    )  # fmt: skip
