"""The small training loop: which images it sees, and which weights it ends with."""

import numpy as np
import pytest
from torch import nn

from pipeline.evaluation.fitting import VALIDATIONS, FitConfig, fit


def test_the_best_weights_on_validation_are_kept():
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    seen: list[float] = []

    def validate():
        assert not module.training
        seen.append(module.weight.item())
        return -abs(module.weight.item() - 0.3)

    best = fit(
        module, lambda _: (module.weight - 1).square().sum(), np.arange(4), validate, FitConfig(50, 2, 0.1, 0.0), 0
    )
    assert len(seen) == VALIDATIONS
    chosen = min(seen, key=lambda weight: abs(weight - 0.3))
    assert module.weight.item() == chosen != seen[-1]
    assert best == -abs(chosen - 0.3)
    assert not module.training


def test_every_epoch_shows_every_image_once():
    module, shown = nn.Linear(1, 1), []

    def loss(batch):
        shown.append(batch)
        return module.weight.square().sum()

    fit(module, loss, np.arange(10, 17), lambda: 0.0, FitConfig(7, 3, 0.1, 0.0), 0)
    assert [len(batch) for batch in shown] == [3] * 7
    counts = np.bincount(np.concatenate(shown), minlength=17)
    assert counts[10:].tolist() == [3] * 7
    shown.clear()
    fit(module, loss, np.arange(2), lambda: 0.0, FitConfig(3, 16, 0.1, 0.0), 0)
    assert [sorted(batch) for batch in shown] == [[0, 1]] * 3


@pytest.mark.parametrize(("images", "steps"), [(2, 7), (8, 7), (9, 8), (12, 10)])
def test_a_training_takes_its_steps_or_its_epochs_whichever_are_more(images, steps):
    module, shown = nn.Linear(1, 1), []

    def loss(batch):
        shown.append(batch)
        return module.weight.square().sum()

    fit(module, loss, np.arange(images), lambda: 0.0, FitConfig(7, 5, 0.1, 0.0, epochs=4), 0)
    assert len(shown) == steps == FitConfig(7, 5, 0.1, 0.0, epochs=4).steps_for(images)
