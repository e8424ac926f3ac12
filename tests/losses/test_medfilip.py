"""The similarity matrix and the loss against slow loops written from their formulas: values and gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.losses.medfilip import (
    ITMConfig,
    Pairs,
    counted_pairs,
    itm_terms,
    ownership_matrix,
    similarity_matrix,
    term_counts,
    term_weights,
)
from pipeline.networks.medfilip import MedFILIPOutput

LABELS, CATEGORIES, IMAGES, PLACES = 9, 3, 4, 5
SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed):
    """Random labels of images (some have none), a batch's texts with padding, and their vectors and categories."""
    rng = np.random.default_rng(seed)
    lists = {
        name: [sorted(rng.choice(LABELS, rng.integers(0, PLACES), replace=False).tolist()) for _ in range(IMAGES)]
        for name in ("owned", "unsure", "denied")
    }
    texts = [*sorted(rng.choice(LABELS, rng.integers(1, LABELS + 1), replace=False).tolist()), -1]
    vectors = rng.normal(size=(LABELS, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return lists, texts, vectors, rng.integers(0, CATEGORIES, LABELS), rng


def padded(lists):
    return torch.tensor([labels + [-1] * (PLACES - len(labels)) for labels in lists])


@settings(max_examples=80)
@given(SEEDS, st.booleans())
def test_similarity_matrix_against_its_formula(seed, same_category):
    lists, texts, vectors, categories, _ = drawn(seed)
    found = similarity_matrix(
        padded(lists["owned"]), torch.tensor(texts[:-1]), *map(torch.from_numpy, (vectors, categories)), same_category
    )
    for i, labels in enumerate(lists["owned"]):
        for column, m in enumerate(texts[:-1]):
            best = 0.0
            for a in labels:
                if not same_category or categories[a] == categories[m]:
                    best = max(best, float(vectors[a] @ vectors[m]))
            assert found[i, column] == pytest.approx(min(best, 1.0), abs=1e-6)


def test_an_images_own_label_has_similarity_one_and_equal_texts_are_owned():
    owned, texts = torch.tensor([[1, -1], [2, 0]]), torch.tensor([0, 1, -1])
    vectors = torch.nn.functional.normalize(torch.randn(3, 8), dim=-1)
    found = similarity_matrix(owned, texts.clamp(min=0), vectors, torch.arange(3), same_category=True)
    torch.testing.assert_close(found[:, :2], torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert ownership_matrix(owned, texts)[:, :2].tolist() == [[0.0, 1.0], [1.0, 0.0]]


@settings(max_examples=80)
@given(SEEDS, st.sampled_from(["negative", "ignore"]), st.sampled_from(["ignore", "positive", "negative"]))
def test_counted_pairs_against_the_policies(seed, unmentioned, uncertain):
    lists, texts, _, categories, _ = drawn(seed)
    config = ITMConfig(unmentioned=unmentioned, uncertain=uncertain)
    found = counted_pairs(
        *(padded(lists[name]) for name in ("owned", "unsure", "denied")),
        torch.tensor(texts),
        torch.from_numpy(categories),
        config,
    )
    for i in range(IMAGES):
        kinds = {name: {categories[label] for label in lists[name][i]} for name in lists}
        for column, m in enumerate(texts):
            wanted = m != -1
            if m != -1 and categories[m] not in kinds["owned"]:
                doubted, denied = categories[m] in kinds["unsure"], categories[m] in kinds["denied"]
                wanted = not (doubted and uncertain == "ignore")
                wanted = wanted and (doubted or denied or unmentioned == "negative")
            assert bool(found[i, column]) == wanted


def slow_terms(cosines, scale, bias, target, counted, itm):
    """Equation (9) entry by entry."""
    squares, entropies = [], []
    for i in range(len(target)):
        columns = [m for m in range(len(target[i])) if counted[i][m]]
        logits = {m: scale * cosines[i][m] + bias for m in columns}
        squares += [(cosines[i][m] - target[i][m]) ** 2 for m in columns]
        if itm == "bce":
            for m in columns:
                p = 1 / (1 + torch.exp(-logits[m]))
                entropies.append(-target[i][m] * torch.log(p) - (1 - target[i][m]) * torch.log(1 - p))
        elif sum(target[i][m] for m in columns) > 0:
            mass, total = sum(target[i][m] for m in columns), sum(torch.exp(logits[m]) for m in columns)
            entropies.append(-sum(target[i][m] / mass * torch.log(torch.exp(logits[m]) / total) for m in columns))
    zero = cosines.sum() * 0
    return [sum(values, zero) / max(1, len(values)) for values in (squares, entropies)]


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(["ce", "bce"]))
def test_terms_against_the_formula_with_gradients(seed, itm):
    rng = np.random.default_rng(seed)
    shape = (IMAGES, int(rng.integers(1, 6)))
    cosines = torch.tensor(rng.uniform(-1, 1, shape), requires_grad=True)
    scale, bias = (torch.tensor(float(value), dtype=torch.float64, requires_grad=True) for value in (3.0, -0.5))
    target = torch.tensor(np.where(rng.random(shape) < 0.4, rng.random(shape), 0.0))
    counted = torch.tensor(rng.random(shape) < 0.8)
    wanted = slow_terms(cosines, scale, bias, target, counted, itm)
    inputs = (cosines, scale, bias)
    slow = torch.autograd.grad(wanted[0] + 0.7 * wanted[1], inputs, allow_unused=True)
    output = MedFILIPOutput(cosines, cosines * scale + bias)
    found = itm_terms(output, Pairs(target, counted), ITMConfig(itm=itm))
    torch.testing.assert_close(found.double(), torch.stack(wanted), atol=1e-5, rtol=1e-4)
    fast = torch.autograd.grad(found[0] + 0.7 * found[1], inputs)
    for ours, theirs in zip(fast, slow, strict=True):
        theirs = torch.zeros_like(ours) if theirs is None else theirs
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_nothing_to_learn_from_is_zero_with_a_gradient():
    cosines = torch.zeros(2, 3, requires_grad=True)
    pairs = Pairs(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool))
    terms = itm_terms(MedFILIPOutput(cosines, cosines * 5), pairs, ITMConfig())
    assert terms.tolist() == [0.0, 0.0]
    terms.sum().backward()
    assert cosines.grad.abs().sum() == 0


def test_parts_with_the_mean_counts_give_the_whole_batch():
    torch.manual_seed(0)
    cosines, target, counted = torch.rand(6, 4) * 2 - 1, torch.rand(6, 4), torch.rand(6, 4) < 0.7
    for itm in ("ce", "bce"):
        config = ITMConfig(itm=itm)
        whole = itm_terms(MedFILIPOutput(cosines, cosines * 4), Pairs(target, counted), config)
        parts = [Pairs(target[rows], counted[rows]) for rows in (slice(0, 3), slice(3, 6))]
        counts = torch.stack([term_counts(pairs, config) for pairs in parts]).mean(0)
        halves = [MedFILIPOutput(part, part * 4) for part in (cosines[:3], cosines[3:])]
        found = [itm_terms(half, pairs, config, counts) for half, pairs in zip(halves, parts, strict=True)]
        torch.testing.assert_close(torch.stack(found).mean(0), whole)


def test_weights_follow_the_terms():
    assert term_weights(ITMConfig(mse_weight=0.25)).tolist() == [0.25, 1.0]
    assert math.isclose(float(torch.tensor([2.0, 3.0]) @ term_weights(ITMConfig())), 5.0)
