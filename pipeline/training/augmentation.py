"""Augmentation of a batch on the training device: one resampling for all geometry, then photometric operations.

Every number comes from uniform draws that arrive with the batch, so the same draws give the same images on any
device. Labels change in one case only: a laterality-aware flip swaps left and right. `mirrored` says of which images;
what it means to the labels is the method's business.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

# RandAugment's operations in the released code's order; the geometric ones move pixels.
GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
OPERATIONS = ("identity", "autocontrast", "equalize", "brightness", "sharpness", *GEOMETRIC)
MAX_SLOTS = 4
DRAWS = 11 + 2 * MAX_SLOTS  # uniform numbers per image
MAX_LEVEL = 10.0
# At the highest level: enhancement factor 0.1 + 1.8, shear 0.3, shift 10 of 224 pixels, rotation 30 degrees.
MAX_SHEAR, MAX_SHIFT, MAX_ANGLE = 0.3, 10 / 224, math.radians(30)


@dataclass(frozen=True)
class AugmentConfig:
    """How training images vary; the defaults are the paper's.

    Attributes:
        flip: half of the images: "none", "plain" (labels stay, which makes a left finding right), or "laterality".
        crop: smallest and largest area of the random resized crop, fractions of the image in (0, 1].
        aspect: largest ratio of the crop's sides, at least 1.
        interpolation: of the resampling.
        operations: how many of RandAugment's operations are drawn, 0 to 4; each is applied with probability 0.5.
        magnitude: of those operations, 0 to 10.
        rotate: further rotation by up to so many degrees either way.
        shift: further translation by up to this fraction of the side either way.
        contrast: factor exp(-c) to exp(c) on the distance from the image's mean.
        brightness: up to so much is added or taken, with white at 1.
        gamma: exponent exp(-g) to exp(g).
    """

    flip: Literal["none", "plain", "laterality"] = "plain"
    crop: tuple[float, float] = (0.2, 1.0)
    aspect: float = 4 / 3
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    operations: int = 2
    magnitude: float = 7.0
    rotate: float = 0.0
    shift: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    gamma: float = 0.0


def augment(images: Tensor, draws: Tensor, config: AugmentConfig) -> Tensor:
    """Augment a batch.

    Args:
        images: uint8 [B, S, S].
        draws: uniform in [0, 1) [B, DRAWS].
        config: what to vary.

    Returns:
        Grey images in 0..1 [B, 1, S, S].
    """
    slots = [(draws[:, 11 + 2 * k], draws[:, 12 + 2 * k]) for k in range(config.operations)]
    maps = _placement(_flipped(draws, config), draws, config)
    for choice, sign in slots:
        maps = maps @ _operation_map(choice, sign, config.magnitude)
    pixels = _resample(images, maps, config.interpolation)  # [B, 1, S, S] in 0..255
    for choice, _ in slots:
        pixels = _operate(pixels, choice, config.magnitude)
    return _jitter(pixels / 255, draws, config)


def mirrored(draws: Tensor, config: AugmentConfig) -> Tensor:
    """Which images of a batch show left where their labels say right, from the draws of `augment`: bool [B]."""
    return _flipped(draws, config) & (config.flip == "laterality")


@lru_cache
def constant(values: tuple[int, ...], device: torch.device) -> Tensor:
    """A tensor that goes to the device once: making one there from numbers waits for the device."""
    return torch.tensor(values, device=device)


def plain(images: Tensor) -> Tensor:
    """Images as evaluation sees them: uint8 [B, S, S] to grey in 0..1 [B, 1, S, S]."""
    return images.unsqueeze(1).float() / 255


def autocontrast(pixels: Tensor) -> Tensor:
    """Stretch each image [B, 1, S, S] to 0..255, as PIL's ImageOps.autocontrast does."""
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    stretched = (pixels - low) * (255 / (high - low).clamp(min=1e-6))
    return torch.where(high > low, stretched, pixels)


def equalize(pixels: Tensor) -> Tensor:
    """Flatten each image's histogram [B, 1, S, S] in 0..255, as PIL's ImageOps.equalize does on whole grey levels."""
    levels = pixels.round().long().flatten(1)  # [B, S * S]
    counts = torch.zeros(len(levels), 256, dtype=torch.long, device=pixels.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    last = counts.gather(1, levels.amax(1, keepdim=True))  # how often the brightest level occurs
    step = (counts.sum(1, keepdim=True) - last) // 255  # [B, 1]
    before = counts.cumsum(1) - counts
    table = ((step // 2 + before) // step.clamp(min=1)).clamp(max=255)
    equalized = table.gather(1, levels).view_as(pixels).to(pixels.dtype)
    return torch.where(step.view(-1, 1, 1, 1) > 0, equalized, pixels)


def sharpen(pixels: Tensor, factor: float) -> Tensor:
    """Blend away from each image's smoothed version, as PIL's ImageEnhance.Sharpness; the border stays."""
    kernel = constant((1, 1, 1, 1, 5, 1, 1, 1, 1), pixels.device).to(pixels.dtype).div(13).view(1, 1, 3, 3)
    smooth = pixels.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(pixels, kernel)
    return (smooth + factor * (pixels - smooth)).clamp(0, 255)


def _flipped(draws: Tensor, config: AugmentConfig) -> Tensor:
    return (draws[:, 0] < 0.5) & (config.flip != "none")


def _placement(flipped: Tensor, draws: Tensor, config: AugmentConfig) -> Tensor:
    """Crop, flip, rotation and shift as maps from output to input coordinates in -1..1 [B, 3, 3]."""
    _, area, ratio, x, y, turn, right, down, *_ = draws.unbind(1)
    low, high = config.crop
    area, ratio = low + (high - low) * area, torch.exp((2 * ratio - 1) * math.log(config.aspect))
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    crop = _affine(width, 0, (2 * x - 1) * (1 - width), 0, height, (2 * y - 1) * (1 - height))
    flip = _affine(1 - 2 * flipped.float(), 0, 0, 0, 1, 0)
    angle = math.radians(config.rotate) * (2 * turn - 1)
    shifts = [2 * config.shift * (2 * draw - 1) for draw in (right, down)]  # the side is 2 long
    return crop @ flip @ _affine(angle.cos(), -angle.sin(), shifts[0], angle.sin(), angle.cos(), shifts[1])


def _operation_map(choice: Tensor, sign: Tensor, magnitude: float) -> Tensor:
    """The geometry of one RandAugment operation per image, the identity for photometric ones [B, 3, 3]."""
    amount = magnitude / MAX_LEVEL * torch.where(sign < 0.5, -1.0, 1.0)
    shear_x, shear_y, shift_x, shift_y, turn = (amount * _chosen(choice, name) for name in GEOMETRIC)
    angle = MAX_ANGLE * turn
    return _affine(
        angle.cos(), MAX_SHEAR * shear_x - angle.sin(), 2 * MAX_SHIFT * shift_x,
        MAX_SHEAR * shear_y + angle.sin(), angle.cos(), 2 * MAX_SHIFT * shift_y,
    )  # fmt: skip


def _operate(pixels: Tensor, choice: Tensor, magnitude: float) -> Tensor:
    """One photometric RandAugment operation per image; those that drew another kind stay as they are."""
    factor = 0.1 + 1.8 * magnitude / MAX_LEVEL
    results = {
        "autocontrast": autocontrast(pixels),
        "equalize": equalize(pixels),
        "brightness": (pixels * factor).clamp(max=255),
        "sharpness": sharpen(pixels, factor),
    }
    for name, result in results.items():
        pixels = torch.where(_chosen(choice, name).view(-1, 1, 1, 1), result, pixels)
    return pixels


def _chosen(choice: Tensor, name: str) -> Tensor:
    """Which images an operation is applied to: the lower half of the draws applies none, as in the released code."""
    return ((2 * choice - 1) * len(OPERATIONS)).floor().long() == OPERATIONS.index(name)


def _jitter(pixels: Tensor, draws: Tensor, config: AugmentConfig) -> Tensor:
    """Contrast, brightness and gamma of images in 0..1."""
    contrast, brightness, gamma = (2 * draws[:, 8:11] - 1).view(-1, 3, 1, 1, 1).unbind(1)
    if config.contrast or config.brightness:
        mean = pixels.mean((2, 3), keepdim=True)
        pixels = (pixels - mean) * torch.exp(config.contrast * contrast) + mean + config.brightness * brightness
    if config.gamma:
        pixels = pixels.clamp(min=0) ** torch.exp(config.gamma * gamma)
    return pixels.clamp(0, 1)


def _affine(*entries: Tensor | float) -> Tensor:
    """Affine maps [B, 3, 3] from their upper two rows, given as numbers or [B]."""
    like = next(entry for entry in entries if isinstance(entry, Tensor))
    rows = [entry if isinstance(entry, Tensor) else torch.full_like(like, entry) for entry in (*entries, 0, 0, 1)]
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def _resample(images: Tensor, maps: Tensor, interpolation: str) -> Tensor:
    """Sample uint8 images [B, S, S] at mapped coordinates; black outside. [B, 1, S, S] in 0..255."""
    pixels = images.unsqueeze(1).float()
    grid = F.affine_grid(maps[:, :2], list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, mode=interpolation, padding_mode="zeros", align_corners=False).clamp(0, 255)
