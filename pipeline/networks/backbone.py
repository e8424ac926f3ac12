"""The image encoder: a ResNet (He et al. 2016) cut after its last wanted stage.

It turns greyscale images into a grid of patch features. What the features mean is the models' business. Parameters
bear the names of transformers' ResNetBackbone, so that published weights fit; importing that costs every stage seconds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Statistics of the natural images that published weights of three-channel ResNets expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = (0.5,), (0.25,)
REDUCTION = 4  # of a bottleneck's inner width


class PatchEncoder(nn.Module):
    """Images to patch features: ResNet stem and stages.

    Args:
        block: "bottleneck" (ResNet-50) or "basic" (ResNet-18).
        depths: residual blocks of each stage, the last stage being the output; ResNet-50's first three are 3, 4, 6.
        widths: channels that each stage puts out; ResNet-50's are 256, 512, 1024.
        stem: channels of the first convolution; ResNet-50's are 64.
        channels: 3 repeats a grey image and uses ImageNet's statistics; 1 keeps it grey.

    Attributes:
        architecture: these arguments, from which an encoder of the same kind can be made.
    """

    def __init__(self, block: str, depths: Sequence[int], widths: Sequence[int], stem: int, channels: int) -> None:
        super().__init__()
        self.architecture = (block, tuple(depths), tuple(widths), stem, channels)
        self.resnet = ResNet(block, depths, widths, stem, channels)
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else (GREY_MEAN, GREY_STD)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Encode images.

        Args:
            images: [B, 1, S, S] grey in 0..1; or [B, 3, S, S] already normalised, for an encoder of 3 channels.

        Returns:
            Patch features [B, C, g, g]; g is S / 16 after three stages.
        """
        features: Tensor = self.resnet(self._normalised(images))
        return features

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Features of the stem [B, stem, S / 2, S / 2] and of each stage [B, width, s, s], s from S / 4 on halved."""
        return self.resnet.pyramid(self._normalised(images))

    def _normalised(self, images: Tensor) -> Tensor:
        if images.shape[1] == 1:
            images = (images - self.mean) / self.std  # broadcasts to the encoder's channels
        return images.contiguous(memory_format=torch.channels_last)


class ResNet(nn.Module):
    """Stem and stages, without the classifier."""

    def __init__(self, block: str, depths: Sequence[int], widths: Sequence[int], stem: int, channels: int) -> None:
        super().__init__()
        self.embedder = nn.ModuleDict({"embedder": Convolution(channels, stem, 7, 2), "pooler": nn.MaxPool2d(3, 2, 1)})
        befores = (stem, *widths[:-1])
        sizes = zip(befores, widths, depths, strict=True)
        stages = [Stage(block, *size, stride=1 if index == 0 else 2) for index, size in enumerate(sizes)]
        self.encoder = nn.ModuleDict({"stages": nn.Sequential(*stages)})
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [B, channels, S, S] to the last stage's features [B, C, g, g]."""
        pooled = self.embedder["pooler"](self.embedder["embedder"](images))
        x: Tensor = F.relu_(pooled)  # of the largest is the largest ReLU, and there are four times fewer
        features: Tensor = self.encoder["stages"](x)
        return features

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Normalised images [B, channels, S, S] to the features of the stem, before its pooling, and of each stage."""
        levels: list[Tensor] = [F.relu_(self.embedder["embedder"](images))]
        x = self.embedder["pooler"](levels[0])
        for stage in self.encoder["stages"].children():
            x = stage(x)
            levels.append(x)
        return levels


class Stage(nn.Module):
    """Blocks of one width, the first of which takes the stride."""

    def __init__(self, block: str, before: int, width: int, depth: int, stride: int) -> None:
        super().__init__()
        first = Block(before, width, stride, block)
        self.layers = nn.Sequential(first, *(Block(width, width, 1, block) for _ in range(depth - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, before, s, s] to [B, width, s / stride, s / stride]."""
        features: Tensor = self.layers(x)
        return features


class Convolution(nn.Module):
    """A convolution without bias and its batch normalisation."""

    def __init__(self, before: int, width: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, width, kernel, stride, kernel // 2, bias=False)
        self.normalization = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, before, s, s] to [B, width, s / stride, s / stride]."""
        normalised: Tensor = self.normalization(self.convolution(x))
        return normalised


class Block(nn.Module):
    """A residual block: convolutions, ReLUs between them and after the sum.

    Args:
        before: channels in.
        width: channels out.
        stride: of the first 3 x 3 convolution.
        block: "basic", two 3 x 3 convolutions; "bottleneck", 3 x 3 between two 1 x 1 of a quarter of the width.
    """

    def __init__(self, before: int, width: int, stride: int, block: str) -> None:
        super().__init__()
        same = before == width and stride == 1
        self.shortcut = nn.Identity() if same else Convolution(before, width, 1, stride)
        inner = width // REDUCTION
        if block == "basic":
            layers = [Convolution(before, width, 3, stride), Convolution(width, width)]
        else:
            layers = [Convolution(before, inner, 1), Convolution(inner, inner, 3, stride), Convolution(inner, width, 1)]
        self.layer = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, before, s, s] to [B, width, s / stride, s / stride]."""
        residual = self.shortcut(x)
        *inner, last = self.layer
        for layer in inner:
            x = F.relu_(layer(x))
        return F.relu_(last(x).add_(residual))


def _initialise(module: nn.Module) -> None:
    """He et al. 2015, for the fan out."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
