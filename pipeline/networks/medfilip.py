"""MedFILIP: a whole residual image encoder and a text transformer meet in one space, equations (6) to (8) of its paper.

The model ends where the loss begins (`pipeline.losses.medfilip`). Texts arrive as token ids, so that the text
transformer is trained along. Its architecture is described as Hugging Face does, by a BERT's configuration.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.networks.backbone import PatchEncoder

MAX_SCALE = 100.0  # of similarities, as in CLIP


@dataclass(frozen=True)
class MedFILIPConfig:
    """What determines the network; the defaults are the paper's.

    Attributes:
        text: the text transformer's Hugging Face configuration, whole, with its model_type.
        block: "bottleneck" or "basic" residual blocks.
        depths: blocks per stage (1 to 4 stages, each at least 1 block).
        widths: channels out of each stage, as many as depths; for bottlenecks multiples of 4.
        stem: channels of the first convolution, at least 1.
        channels: 3 (grey repeated, ImageNet statistics) or 1.
        embed: d, dimensions of the space where images and texts meet, at least 1.
        scale: first value of the learned logit scale, above 0, at most MAX_SCALE; CLIP's is 1 / 0.07.
        bias: first value of a learned bias of the logits, as in sigmoid contrastive losses; a softmax does not see it.
        pooling: "mean" of the image's features as in the paper, or their "max", where a small finding counts fully.
        train_text: whether the text transformer learns, as in the paper. Else only its linear projection does: a text's
            frozen vector is looked up, and costs nothing per step.
    """

    text: Mapping[str, Any]
    block: Literal["bottleneck", "basic"] = "bottleneck"
    depths: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (256, 512, 1024, 2048)
    stem: int = 64
    channels: Literal[1, 3] = 3
    embed: int = 768
    scale: float = 1 / 0.07
    bias: float = 0.0
    pooling: Literal["mean", "max"] = "mean"
    train_text: bool = True


@dataclass
class MedFILIPOutput:
    """How well N images fit M texts.

    Attributes:
        cosines: u v^T of equation (8), in -1..1 [N, M].
        logits: the cosines times the learned scale, plus the learned bias [N, M].
    """

    cosines: Tensor
    logits: Tensor


class MedFILIP(nn.Module):
    """The model of the paper; its sizes are MedFILIPConfig's."""

    def __init__(self, config: MedFILIPConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = PatchEncoder(config.block, config.depths, config.widths, config.stem, config.channels)
        self.image_projection = nn.Linear(config.widths[-1], config.embed)
        self.text = text_transformer(config.text).requires_grad_(config.train_text)
        self.text_projection = nn.Linear(config.text["hidden_size"], config.embed)
        self.log_scale = nn.Parameter(torch.tensor(math.log(config.scale)))
        self.bias = nn.Parameter(torch.tensor(config.bias))

    def forward(self, images: Tensor, texts: Tensor) -> MedFILIPOutput:
        """Compare images with texts.

        Args:
            images: [N, 1, S, S] grey in 0..1, or [N, 3, S, S] already normalised.
            texts: padded token ids [M, T]; or of a frozen text transformer its vectors, of length 1 [M, h].
        """
        v = self.embed_texts(texts) if self.config.train_text else self.place_texts(texts)
        cosines = self.embed_images(images) @ v.T  # [N, M]
        return MedFILIPOutput(cosines, cosines * self.log_scale.exp().clamp(max=MAX_SCALE) + self.bias)

    def embed_images(self, images: Tensor) -> Tensor:
        """u of equation (6), of length 1: [N, d]."""
        return self.project(self.backbone(images))

    def project(self, features: Tensor) -> Tensor:
        """u from the image encoder's features [N, C, g, g]: [N, d]."""
        pooled = features.mean((2, 3)) if self.config.pooling == "mean" else features.amax((2, 3))  # [N, C]
        return F.normalize(self.image_projection(pooled), dim=-1)

    def embed_texts(self, tokens: Tensor) -> Tensor:
        """v of equation (7), of length 1, from padded token ids [M, T]: [M, d]."""
        mask = tokens.ne(self.config.text["pad_token_id"])
        states = self.text(input_ids=tokens, attention_mask=mask).last_hidden_state  # [M, T, h]
        weights = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1)  # over the tokens of each text [M, h]
        return self.place_texts(mean if self.config.train_text else F.normalize(mean, dim=-1))

    def place_texts(self, vectors: Tensor) -> Tensor:
        """v from what the text transformer says [M, h]: [M, d]."""
        return F.normalize(self.text_projection(vectors), dim=-1)


def text_transformer(config: Mapping[str, Any]) -> nn.Module:
    """A Hugging Face text transformer without weights, from its configuration alone."""
    from transformers import AutoConfig, AutoModel  # late: evaluations of other models do without

    known = AutoConfig.for_model(**config)
    transformer: nn.Module = AutoModel.from_config(  # type: ignore[no-untyped-call]
        known, add_pooling_layer=False
    )
    return transformer
