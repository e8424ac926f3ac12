import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.networks.backbone import PatchEncoder
from pipeline.networks.medslip import MeDSLIP, MeDSLIPConfig, QueryNetwork

SMALL = MeDSLIPConfig(
    block="basic", depths=(1, 1, 1), widths=(8, 12, 16), stem=8, channels=1, text_size=10, hidden_size=8, heads=2,
    layers=2, feed_forward=12, dropout=0.0,
)  # fmt: skip


def build(**changes):
    torch.manual_seed(0)
    return MeDSLIP(dataclasses.replace(SMALL, **changes)).eval()


def prompts(n_p=5, n_a=4, size=10):
    g = torch.Generator().manual_seed(1)
    return torch.randn(n_p, size, generator=g), torch.randn(n_a, size, generator=g)


def images(n=3, size=64):
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(2))


def test_shapes_and_attention_rows():
    output = build()(images(), *prompts(), maps=True)
    assert output.pathology.patches.shape == (3, 16, 8)
    assert output.pathology.queried.shape == (3, 5, 8)
    assert output.anatomy.queried.shape == (3, 4, 8)
    assert output.pathology.logits.shape == (3, 5)
    assert output.anatomy.aligned.shape == (3, 4, 10)
    assert output.icl_logits.shape == (3, 4, 5)
    assert output.pathology.attention.shape == (3, 2, 5, 16)
    torch.testing.assert_close(output.anatomy.attention.sum(-1), torch.ones(3, 2, 4))


def test_maps_do_not_change_the_answer():
    model = build()
    with_maps, without = model(images(), *prompts(), maps=True), model(images(), *prompts())
    assert without.pathology.attention is None
    torch.testing.assert_close(with_maps.pathology.logits, without.pathology.logits)


@pytest.mark.parametrize("mask", ["sigmoid", "linear"])
def test_disentanglement_is_equation_1(mask):
    model = build(mask=mask)
    x = model.backbone(images()).flatten(2).transpose(1, 2)
    m = x @ model.mask_generator.weight.T + model.mask_generator.bias
    m = 1 / (1 + torch.exp(-m)) if mask == "sigmoid" else m
    found, wanted = model.disentangle(images()), (m * x, (1 - m) * x)
    torch.testing.assert_close(found, wanted)
    weights = list(model.mask_generator.parameters())
    gradients = [
        torch.autograd.grad(p.square().sum() + a.sum(), weights, retain_graph=True) for p, a in (found, wanted)
    ]
    torch.testing.assert_close(*gradients)


def test_without_disentanglement_both_streams_see_the_same():
    model = build(disentangle=False)
    of_pathology, of_anatomy = model.disentangle(images())
    assert torch.equal(of_pathology, of_anatomy)
    assert not any(name.startswith("mask_generator") for name in model.state_dict())


@pytest.mark.parametrize("scale", ["none", "learned"])
def test_co_existence_is_equation_5(scale):
    model = build(icl_scale=scale)
    output = model(images(), *prompts())
    g_a, g_p = model.co_existence.anatomy, model.co_existence.pathology
    for b, j, i in np.ndindex(3, 4, 5):
        cosine = torch.cosine_similarity(g_a(output.anatomy.queried[b, j]), g_p(output.pathology.queried[b, i]), dim=0)
        wanted = 10 * cosine - 10 if scale == "learned" else cosine
        torch.testing.assert_close(output.icl_logits[b, j, i], wanted)
        gradients = [
            torch.autograd.grad(logit, [g_a.weight, g_p.weight, output.anatomy.queried], retain_graph=True)
            for logit in (output.icl_logits[b, j, i], wanted)
        ]
        torch.testing.assert_close(*gradients)


def test_released_co_existence_is_a_dot_product():
    output = build(icl_similarity="dot")(images(), *prompts())
    torch.testing.assert_close(
        output.icl_logits, torch.einsum("bjd,bid->bji", output.anatomy.queried, output.pathology.queried)
    )


def test_switching_icl_changes_no_other_starting_weight():
    with_icl, without = build().state_dict(), build(icl=False).state_dict()
    assert set(with_icl) - set(without) == {k for k in with_icl if k.startswith("co_existence")}
    assert all(torch.equal(with_icl[name], tensor) for name, tensor in without.items())
    assert build(icl=False)(images(), *prompts()).icl_logits is None


def test_temperature_is_learned_or_fixed():
    fixed, learned = build(tau=0.5), build(tau=0.5, learn_tau=True)
    assert "proto_log_scale" not in dict(fixed.named_parameters())
    assert "proto_log_scale" in dict(learned.named_parameters())
    for model in (fixed, learned):
        torch.testing.assert_close(model(images(), *prompts()).proto_scale, torch.tensor(2.0))


def test_query_network_equals_torch_decoder():
    torch.manual_seed(0)
    ours = QueryNetwork(SMALL).eval()
    layer = nn.TransformerDecoderLayer(8, 2, 12, 0.0, batch_first=True, norm_first=True)
    reference = nn.TransformerDecoder(layer, 2, nn.LayerNorm(8)).eval()
    reference.load_state_dict(ours.state_dict())
    queries, patches = torch.randn(5, 8), torch.randn(3, 16, 8)
    torch.testing.assert_close(ours(queries, patches, False)[0], reference(queries.expand(3, -1, -1), patches))
    assert ours(queries, patches, True)[1].shape == (3, 2, 5, 16)


def test_dropout_differs_between_images():
    torch.manual_seed(0)
    network = QueryNetwork(dataclasses.replace(SMALL, dropout=0.5)).train()
    found = network(torch.randn(5, 8), torch.randn(1, 16, 8).expand(2, -1, -1), False)[0]
    assert not torch.allclose(found[0], found[1])


def test_the_released_dropout_is_before_both_heads_and_not_before_icl():
    model = build(head_dropout=0.5).train()
    outputs = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        outputs.append(model(images(), *prompts()))
    one, two = outputs
    torch.testing.assert_close(one.icl_logits, two.icl_logits)
    for ours, other in ((one.pathology, two.pathology), (one.anatomy, two.anatomy)):
        torch.testing.assert_close(ours.queried, other.queried)
        assert not torch.allclose(ours.logits, other.logits)
        assert not torch.allclose(ours.aligned, other.aligned)
    trained, plain = model.eval()(images(), *prompts()), build(head_dropout=0.0)
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(trained.pathology.logits, plain(images(), *prompts()).pathology.logits)


def test_parameters_match_the_released_models():
    """A few of the released names and shapes; the importer's own test has them all."""
    with torch.device("meta"):
        model = MeDSLIP(MeDSLIPConfig())
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes["prompt_projection.weight"] == (256, 768)
    assert shapes["mask_generator.weight"] == shapes["pathology.embed1.weight"] == (1024, 1024)
    assert shapes["anatomy.embed2.weight"] == (256, 1024)
    assert shapes["pathology.decoder.layers.3.multihead_attn.in_proj_weight"] == (768, 256)
    assert shapes["anatomy.predictor.weight"] == (2, 256)
    assert shapes["anatomy.to_text.weight"] == (768, 256)
    resnet = sum(np.prod(s, dtype=int) for n, s in shapes.items() if n.startswith("backbone") and "running" not in n)
    assert (
        resnet - sum(n.endswith("num_batches_tracked") for n in shapes) == 8_543_296
    )  # ResNet-50 without its fourth stage


def test_grey_images_are_repeated_and_normalised():
    torch.manual_seed(0)
    encoder = PatchEncoder("basic", (1,), (8,), 8, 3).eval()
    grey = images(2, 32)
    colour = (grey.expand(-1, 3, -1, -1) - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    torch.testing.assert_close(encoder(grey), encoder(colour))


def test_a_shared_norm_is_one_layer():
    model = build(shared_norm=True)
    one, other = model.pathology.decoder.norm, model.anatomy.decoder.norm
    assert one is other
    output = model(images(), *prompts())
    output.pathology.logits.sum().backward()
    assert other.weight.grad is not None
    assert len(list(model.parameters())) == len(list(build().parameters())) - 2
