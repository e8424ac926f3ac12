"""Each loss against a slow loop written from its formula: values and gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.losses.medslip import (
    TERMS,
    LossConfig,
    Targets,
    existence_loss,
    icl_loss,
    medslip_terms,
    pool_labels,
    proto_loss,
    term_weights,
)
from pipeline.networks.medslip import MeDSLIPOutput, StreamOutput

POLICIES = [(u, c) for u in ("negative", "ignore") for c in ("ignore", "positive", "negative")]


@st.composite
def existences(draw):
    """Sparse matrices with empty rows, several positives, none, uncertain and unmentioned entries."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = draw(
        st.sampled_from([(0.7, 0.1, 0.15, 0.05), (0.2, 0.2, 0.5, 0.1), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0)])
    )
    values = rng.choice(np.array([-1, 0, 1, 2], dtype=np.int8), size=shape, p=weights)
    values[:, rng.random(shape[1]) < 0.3] = -1
    return torch.from_numpy(values), int(rng.integers(2**31))


def slow_target(value, unmentioned, uncertain):
    """1, 0, or None for an entry that does not count."""
    if value == -1:
        return 0 if unmentioned == "negative" else None
    if value == 2:
        return {"ignore": None, "positive": 1, "negative": 0}[uncertain]
    return int(value)


def slow_pool(values):
    for value in (1, 2, 0):
        if value in values:
            return value
    return -1


def slow_bce(logits, labels, unmentioned, uncertain):
    losses = []
    for logit, label in zip(logits, labels, strict=True):
        target = slow_target(label, unmentioned, uncertain)
        if target is not None:
            p = 1 / (1 + torch.exp(-logit))
            losses.append(-torch.log(p) if target else -torch.log(1 - p))
    return sum(losses) / len(losses) if losses else logits.sum() * 0


def slow_similarity(a, b, kind):
    if kind == "dot":
        return sum(a * b)
    norm = torch.sqrt(sum(a * a)) * torch.sqrt(sum(b * b))
    return sum(a * b) / norm


def slow_proto(v, t, existence, draws, tau, config):
    """v [B, N, h], t [M, h], existence [B, N, M] as nested loops over images and queries."""
    losses = []
    for b in range(len(v)):
        for i in range(v.shape[1]):
            present = [j for j in range(len(t)) if slow_target(existence[b, i, j], "negative", config.uncertain) == 1]
            if not present:
                continue
            others = [j for j in range(len(t)) if slow_target(existence[b, i, j], "negative", config.uncertain) == 0]
            by_draw = sorted(others, key=lambda j: -draws[b, i, j])[: config.negatives]
            chosen = present if config.protocl else [max(present, key=lambda j: draws[b, i, j])]
            c = sum(t[j] for j in chosen) / len(chosen)
            top = torch.exp(slow_similarity(v[b, i], c, config.proto_similarity) / tau)
            rest = sum(torch.exp(slow_similarity(v[b, i], t[n], config.proto_similarity) / tau) for n in by_draw)
            losses.append(-torch.log(top / (top + rest)))
    return sum(losses) / len(losses) if losses else v.sum() * 0


def same_with_gradients(fast, slow, *inputs):
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
    for name, a, b in zip(
        range(len(inputs)),
        torch.autograd.grad(fast, inputs, allow_unused=True),
        torch.autograd.grad(slow, inputs, allow_unused=True),
        strict=True,
    ):
        a, b = (torch.zeros_like(inputs[name]) if g is None else g for g in (a, b))
        assert a.isfinite().all()
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def random_output(seed, existence, h=6, d=4):
    """An output of the model with leaves that need gradients."""
    g = torch.Generator().manual_seed(seed)
    b, n_a, n_p = existence.shape
    leaves = [
        torch.randn(*s, generator=g, requires_grad=True)
        for s in ((b, n_p), (b, n_a), (b, n_p, h), (b, n_a, h), (b, n_a, n_p))
    ]
    p_logits, a_logits, p_aligned, a_aligned, icl = leaves
    nothing = torch.zeros(b, 1, d)
    output = MeDSLIPOutput(
        StreamOutput(nothing, nothing, p_logits, p_aligned, None),
        StreamOutput(nothing, nothing, a_logits, a_aligned, None),
        icl,
        torch.tensor(1 / 0.7),
    )
    prompts = torch.randn(n_p, h, generator=g), torch.randn(n_a, h, generator=g)
    return output, leaves, prompts, torch.rand(b, n_a, n_p, generator=g)


@settings(max_examples=40)
@given(existences())
def test_pooled_labels(case):
    existence, _ = case
    for dim in (1, 2):
        pooled = pool_labels(existence, dim)
        moved = existence.movedim(dim, -1)
        for index in np.ndindex(*pooled.shape):
            assert pooled[index] == slow_pool(moved[index].tolist())


@settings(max_examples=60)
@given(existences(), st.sampled_from(POLICIES))
def test_existence_and_icl_against_loops(case, policy):
    existence, seed = case
    config = LossConfig(unmentioned=policy[0], uncertain=policy[1])
    logits = torch.randn(existence.shape, generator=torch.Generator().manual_seed(seed), requires_grad=True)
    slow = slow_bce(logits.flatten(), existence.flatten().tolist(), *policy)
    targets = Targets.of(existence, config)
    same_with_gradients(icl_loss(logits, targets.positive, targets.labelled), slow, logits)


@settings(max_examples=60)
@given(
    existences(),
    st.booleans(),
    st.sampled_from(["dot", "cosine"]),
    st.sampled_from([1, 3, 7]),
    st.sampled_from(POLICIES),
)
def test_proto_against_loops(case, protocl, similarity, negatives, policy):
    existence, seed = case
    config = LossConfig(protocl=protocl, proto_similarity=similarity, negatives=negatives, uncertain=policy[1])
    g = torch.Generator().manual_seed(seed)
    v = torch.randn(*existence.shape[:2], 6, generator=g, requires_grad=True)
    t = torch.randn(existence.shape[2], 6, generator=g)
    draws = torch.rand(existence.shape, generator=g)
    scale = torch.tensor(1 / 0.7, requires_grad=True)
    targets = Targets.of(existence, config)
    fast = proto_loss(v, t, targets.positive, targets.negative, draws, scale, config)
    same_with_gradients(fast, slow_proto(v, t, existence, draws, 1 / scale, config), v, scale)


@settings(max_examples=40)
@given(existences(), st.booleans(), st.sampled_from(POLICIES))
def test_total_against_loops(case, protocl, policy):
    existence, seed = case
    config = LossConfig(protocl, 0.5, "dot", 3, 2.0, *policy)
    output, leaves, prompts, draws = random_output(seed, existence)
    fast = medslip_terms(output, prompts, Targets.of(existence, config), draws, config) @ term_weights(config)
    p, a, e = output.pathology, output.anatomy, existence
    slow = (
        slow_bce(p.logits.flatten(), [slow_pool(c.tolist()) for m in e for c in m.T], *policy)
        + slow_bce(a.logits.flatten(), [slow_pool(r.tolist()) for m in e for r in m], *policy)
        + 0.5 * slow_proto(p.aligned, prompts[1], e.transpose(1, 2), draws.transpose(1, 2), 0.7, config)
        + 0.5 * slow_proto(a.aligned, prompts[0], e, draws, 0.7, config)
        + 2.0 * slow_bce(output.icl_logits.flatten(), e.flatten().tolist(), *policy)
    )
    same_with_gradients(fast, slow, *leaves)


@pytest.mark.parametrize("unmentioned", ["negative", "ignore"])
def test_nothing_to_learn_is_zero_with_a_graph(unmentioned):
    existence = torch.full((2, 4, 3), -1, dtype=torch.int8)
    output, leaves, prompts, draws = random_output(0, existence)
    config = LossConfig(unmentioned=unmentioned)
    terms = medslip_terms(output, prompts, Targets.of(existence, config), draws, config)
    assert terms[2] == terms[3] == 0
    assert (terms == 0).all() == (unmentioned == "ignore")
    gradients = torch.autograd.grad(terms.sum(), leaves)
    assert all(g.isfinite().all() for g in gradients)


def test_two_class_cross_entropy_is_the_bce_of_the_difference():
    scores = torch.randn(5, 4, 2)
    label = torch.randint(0, 2, (5, 4))
    released = torch.nn.functional.cross_entropy(scores.flatten(0, 1), label.flatten())
    ours = existence_loss(scores[..., 1] - scores[..., 0], label == 1, torch.ones(5, 4, dtype=torch.bool))
    torch.testing.assert_close(ours, released)


@settings(max_examples=30)
@given(existences(), st.sampled_from(POLICIES))
def test_parts_with_mean_counts_add_up_to_the_whole(case, policy):
    existence, seed = case
    existence = torch.cat([existence, existence.flip(0).roll(1, 1)])  # an even number of images
    config = LossConfig(unmentioned=policy[0], uncertain=policy[1])
    output, _, prompts, draws = random_output(seed, existence)
    whole = medslip_terms(output, prompts, Targets.of(existence, config), draws, config)
    half = len(existence) // 2
    cuts = [slice(0, half), slice(half, None)]
    counts = torch.stack([Targets.of(existence[cut], config).counts() for cut in cuts]).mean(0)

    def cut_stream(stream, cut):
        return StreamOutput(stream.patches[cut], stream.queried[cut], stream.logits[cut], stream.aligned[cut], None)

    def cut_terms(cut):
        icl, scale = output.icl_logits[cut], output.proto_scale
        part = MeDSLIPOutput(cut_stream(output.pathology, cut), cut_stream(output.anatomy, cut), icl, scale)
        return medslip_terms(part, prompts, Targets.of(existence[cut], config), draws[cut], config, counts)

    torch.testing.assert_close(sum(cut_terms(cut) for cut in cuts) / 2, whole, rtol=1e-4, atol=1e-6)


def test_every_possible_negative_is_drawn_equally_often():
    existence = torch.full((4000, 1, 10), -1, dtype=torch.int8)
    existence[:, 0, 0] = 1
    positive = existence == 1
    draws = torch.rand(existence.shape, generator=torch.Generator().manual_seed(0))
    t = torch.eye(10)
    v = torch.zeros(4000, 1, 10, requires_grad=True)
    proto_loss(v, t, positive, ~positive, draws, torch.tensor(1.0), LossConfig()).backward()
    drawn = (v.grad[:, 0] > 0).float().mean(0)  # only drawn negatives push
    assert drawn[0] == 0
    torch.testing.assert_close(drawn[1:], torch.full((9,), 7 / 9), atol=4 * math.sqrt(7 / 9 * 2 / 9 / 4000), rtol=0)


def test_without_icl_logits_the_term_is_zero():
    existence = torch.ones(1, 2, 2, dtype=torch.int8)
    output, _, prompts, draws = random_output(0, existence)
    output.icl_logits = None
    terms = dict(
        zip(
            TERMS, medslip_terms(output, prompts, Targets.of(existence, LossConfig()), draws, LossConfig()), strict=True
        )
    )
    assert terms["icl"] == 0
    assert terms["existence_pathology"] > 0
