"""A U-Net whose encoder is a frozen residual backbone: its decoder, made of MONAI's blocks, and the encoder's features.

The decoder climbs from the last stage's features to the stem's, taking in each level on the way (Ronneberger et al.
2015), and ends at the resolution of the image.
"""

from collections.abc import Sequence

import torch
from monai.networks.blocks.dynunet_block import UnetBasicBlock
from monai.networks.blocks.upsample import UpSample
from torch import Tensor, nn

from pipeline.evaluation.encoders import BATCH, as_rows
from pipeline.evaluation.scorer import ImageSource, batches
from pipeline.evaluation.subsets import Rows
from pipeline.networks.backbone import PatchEncoder
from pipeline.training.augmentation import plain

CACHE = 4 * 1024**3  # bytes of features that are kept
NARROWING = 4  # a level of the decoder has so many times fewer channels than the encoder's
NARROWEST = 8


class Decoder(nn.Module):
    """From an encoder's pyramid to the logits of one mask.

    Args:
        widths: channels of the pyramid, the finest level first.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)  # encoders differ in scale
        before, levels = widths[-1], []
        for skip in reversed(widths[:-1]):
            levels.append(Level(before, skip, max(NARROWEST, skip // NARROWING)))
            before = levels[-1].width
        self.levels = nn.ModuleList(levels)
        self.last = UpSample(2, before, 1, scale_factor=2, mode="deconv")

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Features [B, width, s, s], s halved from level to level, to logits [B, S, S]."""
        x, *skips = (norm(level) for norm, level in reversed([*zip(self.norms, pyramid, strict=True)]))
        for level, skip in zip(self.levels, skips, strict=True):
            x = level(x, skip)
        logits: Tensor = self.last(x)  # [B, 1, S, S]
        return logits[:, 0]


class Level(nn.Module):
    """Double the resolution, join the encoder's features, two convolutions."""

    def __init__(self, before: int, skip: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.up = UpSample(2, before, width, scale_factor=2, mode="deconv")
        self.block = UnetBasicBlock(2, width + skip, width, kernel_size=3, stride=1, norm_name="batch")

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Features [B, before, s, s] and [B, skip, 2 s, 2 s] to [B, width, 2 s, 2 s]."""
        height, width = skip.shape[2:]  # of odd sides the encoder kept the larger half
        joined: Tensor = self.block(torch.cat([self.up(x)[:, :, :height, :width], skip], dim=1))
        return joined


class FrozenPyramid:
    """An encoder's features of some images: computed once and kept where CACHE holds them, else anew for each batch.

    Args:
        encoder: in evaluation mode.
        source: the decoded images.
        rows: which of them, n.
    """

    def __init__(self, encoder: PatchEncoder, source: ImageSource, rows: Rows) -> None:
        self.encoder, self.source, self.rows = encoder, source, rows
        self.device = next(encoder.parameters()).device
        one = self._compute(rows[:1])
        self.widths = [level.shape[1] for level in one]
        size = sum(level.nbytes for level in one) * len(rows)
        self._kept = self._compute(rows) if size <= CACHE else None

    def __call__(self, places: Rows) -> list[Tensor]:
        """Features of the n images at some places: of each level [B, width, s, s]."""
        if self._kept is None:
            return self._compute(self.rows[places])
        index = as_rows(places)
        return [level[index].to(self.device) for level in self._kept]

    @torch.no_grad()
    def _compute(self, rows: Rows) -> list[Tensor]:
        parts = [self.encoder.pyramid(plain(images.to(self.device))) for images in batches(self.source, rows, BATCH)]
        if len(parts) == 1:
            return parts[0]
        return [torch.cat([part.cpu() for part in level]) for level in zip(*parts, strict=True)]
