"""MedFILIP as a scorer against the model itself; Grad-CAM against its formula."""

import pytest
import tiny_medfilip as tiny
import torch

from pipeline.evaluation.medfilip_scorer import MedFILIPScorer
from pipeline.evaluation.scorer import Prompts
from pipeline.networks.medfilip import MedFILIP

PROMPTS = Prompts(("mild left lung edema", "mass", "round white mass", "mass"), torch.zeros(4, 8))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MedFILIP(tiny.CONFIG)


@pytest.fixture
def scorer(model):
    return MedFILIPScorer(model.train(), tiny.tokenizer())


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def cosines(model, images):
    tokens = tiny.tokenizer()(list(PROMPTS.texts), padding=True, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model.eval()(images[:, None] / 255, tokens).cosines


def test_scores_rise_with_the_cosine(scorer, model, images):
    found = scorer.score(images, PROMPTS)
    torch.testing.assert_close(found, (1 + cosines(model, images)) / 2)
    assert torch.equal(found[:, 1], found[:, 3])
    assert not model.training


def test_embeddings_meet_in_one_space(scorer, model, images):
    u, v, queried = scorer.embed_images(images), scorer.embed_text(PROMPTS), scorer.embed_queries(images, PROMPTS)
    torch.testing.assert_close(u @ v.T, cosines(model, images))
    torch.testing.assert_close(queried.sum(-1), cosines(model, images))
    torch.testing.assert_close(u.norm(dim=1), torch.ones(3))


def test_heat_maps_against_grad_cam(scorer, model, images):
    found = scorer.heat_maps(images, PROMPTS)
    assert found.shape == (3, 4, 4, 4)
    for i in range(3):
        for n, v in enumerate(scorer.embed_text(PROMPTS)):
            features = model.backbone(images[i : i + 1, None] / 255).detach().requires_grad_()
            (gradient,) = torch.autograd.grad((model.project(features) @ v).sum(), features)
            wanted = torch.relu((gradient.mean((2, 3), keepdim=True) * features).sum(1))[0]
            torch.testing.assert_close(found[i, n], wanted.detach(), atol=1e-6, rtol=1e-4)
    assert found.min() >= 0
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_heat_maps_do_not_depend_on_what_evaluators_set(scorer, images, mode):
    wanted = scorer.heat_maps(images, PROMPTS)
    with mode():
        others = images.clone()
        scorer.score(others, PROMPTS)  # what is kept of it was made in that mode
        assert torch.equal(scorer.heat_maps(others, PROMPTS), wanted)
    assert torch.equal(scorer.heat_maps(others, PROMPTS), wanted)


def test_an_image_and_a_text_are_encoded_once(scorer, model, images, monkeypatch):
    calls = []
    monkeypatch.setattr(model.backbone, "forward", lambda x, own=model.backbone.forward: calls.append("i") or own(x))
    monkeypatch.setattr(model, "embed_texts", lambda t, own=model.embed_texts: calls.append(len(t)) or own(t))
    scorer.score(images, PROMPTS)
    scorer.heat_maps(images, PROMPTS)
    scorer.score(images, Prompts(("edema", "mass"), torch.zeros(2, 8)))
    assert calls == ["i", 3, 1]
    assert not torch.equal(scorer.score(images.flip(0), PROMPTS), scorer.score(images, PROMPTS))


def test_long_prompts_are_cut_off(scorer, images):
    long = Prompts(("white " * 40,), torch.zeros(1, 8))
    assert scorer.score(images, long).isfinite().all()


def test_it_is_deterministic(scorer, images):
    torch.set_deterministic_debug_mode("error")
    try:
        assert torch.equal(scorer.heat_maps(images, PROMPTS), scorer.heat_maps(images, PROMPTS))
    finally:
        torch.set_deterministic_debug_mode("default")
