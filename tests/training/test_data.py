import threading
import time

import numpy as np
import pytest
import torch

from pipeline.errors import TrainingError
from pipeline.training.augmentation import DRAWS
from pipeline.training.data import Examples, Plan, mix, prefetch, training_batches


class Table:
    def __init__(self, tensor):
        self.tensor = tensor

    def gather(self, rows):
        return self.tensor[torch.from_numpy(rows)]


def numbered(n=10, first=5):
    """Example k has the image k + first and the label n - k."""
    images = torch.arange(n + first, dtype=torch.uint8).view(-1, 1, 1).expand(-1, 2, 2)
    labels = torch.arange(n + 1, dtype=torch.int8).view(-1, 1, 1).expand(-1, 3, 2)
    return Examples(Table(images), np.arange(n) + first, Table(labels), n - np.arange(n))


class Stated(Table):
    @property
    def stated(self):
        return (self.tensor >= 0).numpy()


def test_images_of_which_no_report_says_anything_are_left_out():
    labels = Stated(torch.tensor([3, -1, 0, -1]))
    examples = Examples.of(Table(torch.arange(10, 20)), np.array([7, 2, 5, 1]), labels)
    assert len(examples) == 2
    images, found = examples.gather(np.arange(2))
    assert (images.tolist(), found.tolist()) == ([17, 15], [3, 0])


def collate(share):
    """The labels of a part, and those of its whole step."""
    return {"own": share.labels.gather(share.rows[share.own]), "step": share.labels.gather(share.rows)[:, 0, 0]}


def test_an_epoch_shows_no_example_twice_and_every_epoch_another_order():
    plan = Plan(examples=23, batch=5, processes=1, parts=1, seed=3)
    assert plan.steps_per_epoch == 4
    epochs = [np.concatenate([plan.step_rows(4 * e + s) for s in range(4)]) for e in range(5)]
    assert all(len(set(rows.tolist())) == 20 for rows in epochs)
    assert len({tuple(rows.tolist()) for rows in epochs}) == 5
    assert set(np.concatenate(epochs).tolist()) == set(range(23))


@pytest.mark.parametrize(("processes", "parts"), [(1, 1), (2, 1), (1, 3), (2, 3)])
def test_processes_and_parts_share_the_global_batch(processes, parts):
    plan = Plan(examples=20, batch=12, processes=processes, parts=parts, seed=0)
    rows = [plan.step_rows(7)[plan.own(part, process)] for part in range(parts) for process in range(processes)]
    assert np.array_equal(np.concatenate(rows), Plan(20, 12, 1, 1, 0).step_rows(7))


def test_draws_do_not_depend_on_processes_but_on_step_and_seed():
    def drawn(plan, step):
        draws, generator = plan.step_draws(step)
        return torch.cat([draws, torch.rand(12, 3, generator=generator)], dim=1)

    one, two = Plan(20, 12, 1, 1, 0), Plan(20, 12, 2, 1, 0)
    assert torch.equal(drawn(one, 4), drawn(two, 4))
    assert not torch.equal(drawn(one, 4), drawn(one, 5))
    assert not torch.equal(drawn(one, 4), drawn(Plan(20, 12, 1, 1, 1), 4))
    assert len({mix(seed, step) for seed in range(30) for step in range(30)}) == 900


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ((10, 12, 1, 1, 0), "train.batch = 12 is more than the 10"),
        ((10, 4, 3, 1, 0), "train.batch = 4 does not divide"),
    ],
)
def test_batches_that_cannot_be_filled(plan, message):
    with pytest.raises(TrainingError, match=message):
        Plan(*plan)


def test_batches_hold_the_plans_examples_with_their_labels():
    examples, plan = numbered(), Plan(10, 4, 1, 2, 1)
    batches = list(training_batches(examples, collate, plan, 0, range(1, 4), pinned=False))
    assert len(batches) == 6
    rows = np.concatenate([plan.step_rows(step) for step in range(1, 4)])
    images = torch.cat([batch.images[:, 0, 0] for batch in batches])
    labels = torch.cat([batch.labels["own"][:, 0, 0] for batch in batches])
    assert images.tolist() == (rows + 5).tolist()
    assert labels.tolist() == (10 - rows).tolist()
    assert all(batch.draws.shape == (2, DRAWS) for batch in batches)
    steps = [batches[0].labels["step"], batches[1].labels["step"]]
    assert torch.equal(*steps)
    assert steps[0].tolist() == (10 - plan.step_rows(1)).tolist()


def test_an_error_in_the_background_is_raised_in_front():
    def items():
        yield 1
        raise TrainingError("row 7 is broken")

    found = prefetch(items())
    assert next(found) == 1
    with pytest.raises(TrainingError, match="row 7"):
        next(found)


def test_stopping_early_ends_the_thread():
    before = threading.active_count()
    endless = prefetch(iter(int, 1))
    assert next(endless) == 0
    assert threading.active_count() == before + 1
    endless.close()
    assert threading.active_count() == before


def test_items_are_made_ahead():
    made = []

    def items():
        for number in range(50):
            made.append(number)
            yield number

    found = prefetch(items())
    next(found)
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 4 <= len(made) <= 6
    found.close()
