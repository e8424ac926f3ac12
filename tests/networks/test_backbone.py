import pytest
import torch
from transformers import ResNetBackbone, ResNetConfig

from pipeline.networks.backbone import PatchEncoder

SHAPES = [
    ("basic", (1, 3), (8, 16), 8, 1),
    ("basic", (2, 1, 1), (8, 8, 16), 8, 1),
    ("bottleneck", (3, 4, 6), (16, 32, 64), 8, 3),
]


def published(block, depths, widths, stem, channels):
    config = ResNetConfig(
        num_channels=channels, embedding_size=stem, hidden_sizes=list(widths), depths=list(depths), layer_type=block,
        out_features=[f"stage{len(depths)}"],
    )  # fmt: skip
    return ResNetBackbone(config)


@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_resnet_of_transformers_in_names_features_and_gradients(shape):
    torch.manual_seed(0)
    reference = published(*shape)
    encoder = PatchEncoder(*shape)
    encoder.resnet.load_state_dict(reference.state_dict())  # strict: the same names and shapes
    images = torch.rand(2, 1, 64, 64)
    features = encoder(images)
    normalised = ((images - encoder.mean) / encoder.std).contiguous(memory_format=torch.channels_last)
    expected = reference(normalised).feature_maps[0]
    torch.testing.assert_close(features, expected)
    features.square().sum().backward()
    expected.square().sum().backward()
    for name, parameter in encoder.resnet.named_parameters():
        torch.testing.assert_close(
            parameter.grad, reference.get_parameter(name).grad, msg=lambda m, n=name: f"{n}: {m}"
        )
    for name, buffer in encoder.resnet.named_buffers():
        torch.testing.assert_close(buffer, reference.get_buffer(name))


@pytest.mark.parametrize("shape", SHAPES)
def test_starts_like_the_resnet_of_transformers(shape):
    torch.manual_seed(5)
    expected = published(*shape).state_dict()
    torch.manual_seed(5)
    found = PatchEncoder(*shape).resnet.state_dict()
    assert all(torch.equal(found[name], weights) for name, weights in expected.items())


def test_three_channels_take_grey_or_normalised_images():
    encoder = PatchEncoder("basic", (1,), (8,), 8, 3).eval()
    grey = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(encoder(grey), encoder((grey - encoder.mean) / encoder.std))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_pyramid_ends_in_the_features(shape):
    encoder = PatchEncoder(*shape).eval()
    images = torch.rand(2, 1, 64, 64)
    levels = encoder.pyramid(images)
    widths = (shape[3], *shape[2])
    assert [tuple(level.shape) for level in levels] == [(2, width, 32 >> k, 32 >> k) for k, width in enumerate(widths)]
    torch.testing.assert_close(levels[-1], encoder(images))
    stem = encoder.resnet.embedder["embedder"](encoder._normalised(images)).relu()
    torch.testing.assert_close(levels[0], stem)
    assert PatchEncoder(*encoder.architecture).architecture == encoder.architecture
