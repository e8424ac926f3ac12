"""MedFILIP through the training loop, and what it makes of a batch's labels."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_medfilip_training as tiny
import torch
from sklearn.metrics import roc_auc_score

from pipeline.networks.io import load_model, load_tokenizer
from pipeline.training.augmentation import DRAWS, AugmentConfig
from pipeline.training.data import Plan, Share

UNTURNED = AugmentConfig("none")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, tiny.train(folder)


def share(own=slice(0, 8), flips=None, seed=0):
    examples = tiny.examples(20, 3)
    draws = torch.full((8, DRAWS), 0.9)
    if flips is not None:
        draws[flips, 0] = 0.1
    return Share(examples.labels, np.arange(8), own, draws, torch.Generator().manual_seed(seed))


def collated(loss=tiny.LOSS, augment=UNTURNED, **changes):
    return tiny.method(loss, augment).collate(share(**changes))


def test_it_learns_and_the_stored_model_is_the_trained_one(tmp_path):
    found = tiny.train(tmp_path, epochs=25, lr=1e-2)
    assert found.curves[-1]["loss"] < found.curves[0]["loss"]
    assert found.curves[found.best_epoch - 1]["validation_auroc_pathology"] > 0.9
    assert set(found.auroc["pathology"]) == {"edema", "mass", "normal"}
    stored = load_model(tmp_path / "out/best")
    images = tiny.examples(23, 2).images.tensor[:, None] / 255
    tokens = load_tokenizer(stored.tokenizer)(["edema", "mass", "normal"], padding=True, return_tensors="pt")
    with torch.no_grad():
        cosines = stored.model(images, tokens["input_ids"]).cosines
    truth = tiny.examples(23, 2).labels.tensor[:, 2, 0]
    for index, auroc in enumerate(found.auroc["pathology"].values()):
        assert auroc == pytest.approx(roc_auc_score(truth == index, cosines[:, index]))


@pytest.mark.parametrize("changes", [{"optimizer": "sgd", "restarts": 1}, {"parts": 2}])
def test_killed_training_resumes_bit_for_bit(tmp_path, changes):
    def die(_metrics, step):
        if step == 8:
            raise ConnectionAbortedError

    wanted = tiny.train(tmp_path / "a", **changes)
    with pytest.raises(ConnectionAbortedError):
        tiny.train(tmp_path / "b", die, **changes)
    resumed = tiny.train(tmp_path / "b", **changes)
    assert resumed.resumed_at == 6
    assert resumed.curves == wanted.curves
    for name in ("best/model.safetensors", "last/model.safetensors", "best/config.json"):
        assert (tmp_path / "a/out" / name).read_bytes() == (tmp_path / "b/out" / name).read_bytes()


def test_the_rate_falls_again_after_a_warm_restart(tmp_path):
    rates = []
    tiny.train(
        tmp_path, lambda metrics, _: rates.append(metrics.get("lr")), epochs=4, warmup_epochs=0, restarts=1, log_every=1
    )
    rates = np.array([rate for rate in rates if rate is not None])
    fall = 1e-4 + 2.9e-3 * (1 + np.cos(np.pi * np.arange(10) / 10)) / 2
    np.testing.assert_allclose(rates, [*fall[1:], *fall, fall[0]])  # of the next step each


def test_two_processes_give_the_loss_curve_of_one(whole, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, tiny.__file__, str(tmp_path), "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    for ours, wanted in zip(json.loads((tmp_path / "curves.json").read_text()), whole[1].curves, strict=True):
        assert ours == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [{"itm": "ce"}, {"ssm": False}, {"ssm_same_category": False}, {"texts": 3}, {"uncertain": "positive"},
     {"every_category": True}],
)  # fmt: skip
def test_switches_train(tmp_path, changes):
    found = tiny.train(tmp_path, loss=dataclasses.replace(tiny.LOSS, **changes), epochs=1)
    assert np.isfinite(found.curves[0]["loss"])


def test_a_part_meets_all_texts_of_its_step():
    plain = dataclasses.replace(tiny.LOSS, plain=0.0)
    whole, part = collated(plain), collated(plain, own=slice(2, 4))
    assert torch.equal(whole["distinct"], part["distinct"])
    assert torch.equal(whole["labels"][2:4], part["labels"])
    labels = tiny.examples(20, 3).labels.tensor[:8]
    assert set(whole["distinct"].tolist()) - {-1} == set(labels[:, 0].flatten().tolist()) - {-1}
    assert len(whole["distinct"]) % 8 == 0
    for label, ids in zip(whole["distinct"], whole["texts"], strict=True):
        wanted = tiny.tiny.tokenizer()(tiny.TEXTS[max(label, 0)][0])["input_ids"]
        assert ids[ids > 0].tolist() == wanted


def test_mirrored_images_have_mirrored_labels():
    plain = dataclasses.replace(tiny.LOSS, plain=0.0)
    before = tiny.examples(20, 3).labels.tensor[:8]
    after = collated(plain, tiny.STILL, flips=[1, 3])["labels"]
    mirror = torch.tensor([row[2] for row in tiny.TEXTS])
    wanted = before.clone()
    wanted[[1, 3]] = torch.where(before[[1, 3]] >= 0, mirror[before[[1, 3]].clamp(min=0)], -1)
    assert not torch.equal(wanted, before)
    assert torch.equal(after, wanted)
    assert torch.equal(collated(plain, AugmentConfig("plain"), flips=[1, 3])["labels"], before)


@pytest.mark.parametrize(("plain", "lowest", "highest"), [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.5, 0.2, 0.8)])
def test_labels_are_shortened_as_often_as_asked_for(plain, lowest, highest):
    before = tiny.examples(20, 3).labels.tensor[:8, 0, 0]
    detailed = before > 2
    found = [
        collated(dataclasses.replace(tiny.LOSS, plain=plain), seed=seed)["labels"][:, 0, 0][detailed]
        for seed in range(10)
    ]
    shortened = torch.stack(found) != before[detailed]
    assert lowest <= shortened.float().mean() <= highest
    assert set(torch.stack(found)[shortened].tolist()) <= {0, 1}


def test_no_more_texts_than_asked_for_and_others_in_every_step():
    config = dataclasses.replace(tiny.LOSS, plain=0.0, texts=2)
    drawn = [tuple(sorted(set(collated(config, seed=seed)["distinct"].tolist()) - {-1})) for seed in range(10)]
    assert {len(texts) for texts in drawn} == {2}
    assert len(set(drawn)) > 1


def test_every_category_is_matched_and_owned_by_the_images_that_show_it():
    config = dataclasses.replace(tiny.LOSS, plain=0.0, texts=2, every_category=True, ssm=False)
    batch = collated(config)
    categories = range(len(tiny.method(config).texts.categories))
    assert set(categories) <= set(batch["distinct"].tolist())
    targets = tiny.method(config).targets(batch, torch.rand(8, DRAWS)).pairs.target
    for image, labels in enumerate(batch["labels"]):
        owned = {int(label) for kind in (0, 2) for label in labels[kind]} - {-1}
        for text, target in zip(batch["distinct"].tolist(), targets[image].tolist(), strict=True):
            assert text == -1 or target == float(text in owned)


def test_targets_follow_the_uncertain_policy():
    """The first image is sure of a mass and unsure of an edema in the left lung."""
    labels = torch.full((2, 5, 2), -1)
    labels[0, :4, 0] = torch.tensor([5, 3, 1, 0])
    labels[1, 0, 0], labels[1, 2, 0] = 3, 0
    batch = {"labels": labels, "distinct": torch.tensor([3, 5, -1]), "texts": torch.zeros(3, 8)}
    for uncertain, owned, counted in (("ignore", 0, 0), ("negative", 0, 1), ("positive", 1, 1)):
        loss = dataclasses.replace(tiny.LOSS, uncertain=uncertain, ssm=False)
        pairs = tiny.method(loss).targets(batch, torch.rand(2, DRAWS)).pairs
        assert pairs.target[:, :2].tolist() == [[owned, 1], [1, 0]]
        assert pairs.counted.int().tolist() == [[counted, 1, 0], [1, 1, 0]]


def test_the_global_batch_does_not_depend_on_processes():
    """The draws of shortening and of texts are of the whole step."""
    plan = Plan(20, 8, 2, 1, 0)
    draws, _ = plan.step_draws(0)
    examples, found = tiny.examples(20, 3), []
    for process in range(2):
        generator = plan.step_draws(0)[1]
        part = Share(examples.labels, plan.step_rows(0), plan.own(0, process), draws, generator)
        found.append(tiny.method().collate(part))
    assert torch.equal(found[0]["texts"], found[1]["texts"])
