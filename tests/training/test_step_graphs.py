"""A step replayed as a CUDA graph is the step that was launched; where there is no GPU there is nothing to replay."""

import dataclasses

import pytest
import tiny_medfilip_training as medfilip
import tiny_training as medslip
import torch

from pipeline.training import loop

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DROPOUT = dataclasses.replace(medslip.MODEL, dropout=0.3)


@pytest.mark.parametrize(
    ("tiny", "changes"),
    [(medslip, {}), (medslip, {"model": DROPOUT}), (medslip, {"parts": 2}), (medfilip, {})],
)
def test_a_replayed_training_is_the_launched_one_bit_for_bit(tmp_path, monkeypatch, tiny, changes):
    replayed = tiny.train(tmp_path / "replayed", **changes)
    monkeypatch.setattr(loop, "StepGraphs", lambda step, _parameters: step)
    assert tiny.train(tmp_path / "launched", **changes).curves == replayed.curves
