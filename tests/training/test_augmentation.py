import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from scipy.ndimage import map_coordinates

from pipeline.training.augmentation import (
    DRAWS,
    OPERATIONS,
    AugmentConfig,
    augment,
    autocontrast,
    equalize,
    mirrored,
    plain,
    sharpen,
)

STILL = AugmentConfig(flip="none", crop=(1.0, 1.0), aspect=1.0, interpolation="bilinear", operations=0)


def random_images(n=6, size=24, seed=0, low=0, high=256):
    return torch.randint(low, high, (n, size, size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def draws(n=6, seed=2):
    return torch.rand(n, DRAWS, generator=torch.Generator().manual_seed(seed))


def changed(**changes):
    return AugmentConfig(**{**vars(STILL), **changes})


def test_nothing_to_vary_is_the_identity():
    images = random_images()
    torch.testing.assert_close(augment(images, draws(), STILL), plain(images), atol=1e-4, rtol=0)
    assert not mirrored(draws(), STILL).any()


def test_magnitude_zero_moves_nothing():
    images = random_images()
    chosen = draws()
    chosen[:, 11::2] = 0.95  # rotate
    found = augment(images, chosen, changed(operations=4, magnitude=0.0))
    torch.testing.assert_close(found, plain(images), atol=1e-4, rtol=0)


@pytest.mark.parametrize("flip", ["plain", "laterality"])
def test_half_the_images_are_mirrored(flip):
    images, u = random_images(200, 8), draws(200)
    found = augment(images, u, changed(flip=flip))
    flipped = u[:, 0] < 0.5
    assert 60 < flipped.sum() < 140
    torch.testing.assert_close(found[flipped], plain(images.flip(2))[flipped], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[~flipped], plain(images)[~flipped], atol=1e-4, rtol=0)
    assert torch.equal(mirrored(u, changed(flip=flip)), flipped & (flip == "laterality"))


def slow_geometry(image, u, config):
    """One image, one operation after the other on coordinates, sampled by scipy."""
    size = len(image)
    y, x = ((np.mgrid[0:size, 0:size] + 0.5) / size) * 2 - 1
    for k in reversed(range(config.operations)):
        name, sign = OPERATIONS[int((2 * u[11 + 2 * k] - 1) * 10)], -1 if u[12 + 2 * k] < 0.5 else 1
        level = sign * config.magnitude / 10
        angle = math.radians(30) * level
        if name == "shear_x":
            x = x + 0.3 * level * y
        elif name == "shear_y":
            y = y + 0.3 * level * x
        elif name == "translate_x":
            x = x + 2 * level * 10 / 224
        elif name == "translate_y":
            y = y + 2 * level * 10 / 224
        elif name == "rotate":
            x, y = math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y
    angle = math.radians(config.rotate) * (2 * u[5] - 1)
    x, y = math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y
    x, y = x + 2 * config.shift * (2 * u[6] - 1), y + 2 * config.shift * (2 * u[7] - 1)
    if config.flip != "none" and u[0] < 0.5:
        x = -x
    area = config.crop[0] + (config.crop[1] - config.crop[0]) * u[1]
    ratio = config.aspect ** (2 * u[2] - 1)
    width, height = min(1, math.sqrt(area * ratio)), min(1, math.sqrt(area / ratio))
    x, y = width * x + (2 * u[3] - 1) * (1 - width), height * y + (2 * u[4] - 1) * (1 - height)
    pixels = np.stack([(y + 1) / 2 * size - 0.5, (x + 1) / 2 * size - 0.5])
    return map_coordinates(np.pad(image.astype(float), 2), pixels + 2, order=1, mode="constant")


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from(["none", "plain"]), st.integers(0, 4))
def test_one_resampling_equals_the_operations_in_turn(seed, flip, operations):
    config = AugmentConfig(flip, (0.3, 1.0), 4 / 3, "bilinear", operations, 7.0, rotate=9.0, shift=0.1)
    images, u = random_images(4, 20, seed), draws(4, seed)
    u[:, 11::2] = 0.75 + u[:, 11::2] / 4  # geometric operations only
    found = augment(images, u, config)
    for image, numbers, ours in zip(images.numpy(), u.double().numpy(), found[:, 0], strict=True):
        np.testing.assert_allclose(ours.numpy() * 255, slow_geometry(image, numbers, config), atol=0.25)


def by_pillow(images, change):
    changed = [np.asarray(change(Image.fromarray(image))) for image in images.numpy()]
    return torch.from_numpy(np.stack(changed)).unsqueeze(1).float()


@pytest.mark.parametrize(("low", "high"), [(0, 256), (40, 200), (7, 8), (100, 140)])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (autocontrast, ImageOps.autocontrast),
        (equalize, ImageOps.equalize),
        (lambda x: sharpen(x, 1.36), lambda x: ImageEnhance.Sharpness(x).enhance(1.36)),
        (lambda x: sharpen(x, 0.1), lambda x: ImageEnhance.Sharpness(x).enhance(0.1)),
    ],
    ids=["autocontrast", "equalize", "sharpen", "soften"],
)
def test_photometric_operations_against_pillow(ours, theirs, low, high):
    images = random_images(4, 40, 3, low, high)
    assert (ours(images.unsqueeze(1).float()) - by_pillow(images, theirs)).abs().max() <= 1.5  # pillow rounds


@pytest.mark.parametrize("name", OPERATIONS[:5])
def test_each_image_gets_the_operation_it_drew(name):
    images, u = random_images(3, 32, 4, 30, 180), draws(3)
    u[:, 11] = 0.0
    u[1, 11] = 0.5 + (OPERATIONS.index(name) + 0.5) / 20
    found = augment(images, u, changed(operations=1, magnitude=7.0))
    pixels = images[1:2].unsqueeze(1).float()
    wanted = {
        "identity": pixels,
        "autocontrast": autocontrast(pixels),
        "equalize": equalize(pixels),
        "brightness": (pixels * 1.36).clamp(max=255),
        "sharpness": sharpen(pixels, 1.36),
    }[name]
    torch.testing.assert_close(found[1:2], wanted / 255, atol=1e-3, rtol=0)
    torch.testing.assert_close(found[[0, 2]], plain(images)[[0, 2]], atol=1e-4, rtol=0)


def test_half_of_the_operations_drawn_are_applied():
    images, u = random_images(1, 32, 4, 30, 180).repeat(200, 1, 1), draws(200)
    u[:, 11] = (torch.arange(200) + 0.5) / 200
    found = augment(images, u, changed(operations=1, magnitude=7.0))
    same = (found - plain(images)).abs().amax((1, 2, 3)) < 1e-4
    assert same.tolist() == [True] * 110 + [False] * 90  # a tenth of those applied are the identity


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_an_image_does_not_depend_on_its_batch(seed):
    config = AugmentConfig("laterality", contrast=0.3, brightness=0.2, gamma=0.3, rotate=5.0)
    images, u = random_images(5, 16, seed), draws(5, seed)
    together = augment(images, u, config)
    assert together.min() >= 0
    assert together.max() <= 1
    alone = [augment(images[i : i + 1], u[i : i + 1], config) for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)


def test_jitter_is_as_large_as_asked_for():
    images = random_images(500, 8, 5, 100, 150)
    found = augment(images, draws(500), changed(brightness=0.2))
    added = (found - plain(images)).mean((1, 2, 3))
    assert -0.2 <= added.min() < -0.19
    assert 0.19 < added.max() <= 0.2001
