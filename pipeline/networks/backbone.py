"""The image encoder: a ResNet of transformers, cut after its last wanted stage.

It turns greyscale images into a grid of patch features. What the features mean is the models' business.
"""

import torch
from torch import Tensor, nn
from transformers import ResNetBackbone, ResNetConfig

# Statistics of the natural images that published weights of three-channel ResNets expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = (0.5,), (0.25,)


class PatchEncoder(nn.Module):
    """Images to patch features: ResNet stem and stages.

    Args:
        block: "bottleneck" (ResNet-50) or "basic" (ResNet-18).
        depths: residual blocks of each stage, the last stage being the output; ResNet-50's first three are 3, 4, 6.
        widths: channels that each stage puts out; ResNet-50's are 256, 512, 1024.
        stem: channels of the first convolution; ResNet-50's are 64.
        channels: 3 repeats a grey image and uses ImageNet's statistics; 1 keeps it grey.
    """

    def __init__(self, block: str, depths: tuple[int, ...], widths: tuple[int, ...], stem: int, channels: int) -> None:
        super().__init__()
        config = ResNetConfig(  # type: ignore[no-untyped-call]
            num_channels=channels,
            embedding_size=stem,
            hidden_sizes=list(widths),
            depths=list(depths),
            layer_type=block,
            out_features=[f"stage{len(depths)}"],
        )
        self.resnet = ResNetBackbone(config)  # type: ignore[no-untyped-call]
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
        if images.shape[1] == 1:
            images = (images - self.mean) / self.std  # broadcasts to the encoder's channels
        features: Tensor = self.resnet(images.contiguous(memory_format=torch.channels_last)).feature_maps[0]
        return features
