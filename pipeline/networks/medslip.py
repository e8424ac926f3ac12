"""MeDSLIP: disentangled pathology and anatomy streams, queried by prompts, equations (1) and (5) of its paper.

The model ends where the losses begin (`pipeline.losses`). Prompts arrive as vectors of a frozen text encoder,
so their number is free: queries never seen in pre-training go the same way.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.networks.backbone import PatchEncoder

MAX_SCALE = 100.0  # of similarities, as in CLIP: a runaway temperature would overflow the exponentials


@dataclass(frozen=True)
class MeDSLIPConfig:
    """What determines the network; the defaults are the paper's.

    Attributes:
        block: "bottleneck" or "basic" residual blocks.
        depths: blocks per stage (1 to 4 stages, each at least 1 block); the last stage is the output.
        widths: channels out of each stage, as many as depths; for bottlenecks multiples of 4.
        stem: channels of the first convolution, at least 1.
        channels: 3 (grey repeated, ImageNet statistics) or 1.
        text_size: length of the prompt vectors, at least 1.
        hidden_size: d, a multiple of heads.
        heads: attention heads, at least 1.
        layers: decoder layers of each query network, at least 1.
        feed_forward: width of the decoders' feed-forward layers, at least 1.
        dropout: in the decoders, 0 to 1.
        head_dropout: of what the existence predictor and the text projection see of q, 0 to 1; none in the paper, in
            the released code as much as in the decoders.
        disentangle: split the features by the mask; without, both streams see the same features.
        mask: "sigmoid" as in the paper, or "linear" as in the released code.
        shared_norm: both query networks end in one and the same LayerNorm, as in the released code.
        icl: whether the two streams meet in the intra-image contrastive logits.
        icl_similarity: "cosine" of learned projections as in the paper, or "dot" without projections as released.
        icl_scale: "learned" scale and bias of the intra-image logits, or "none".
        tau: temperature of the prototypical loss, at least 1 / MAX_SCALE; the starting value, above it, when learned.
        learn_tau: whether that temperature is learned.
    """

    block: Literal["bottleneck", "basic"] = "bottleneck"
    depths: tuple[int, ...] = (3, 4, 6)
    widths: tuple[int, ...] = (256, 512, 1024)
    stem: int = 64
    channels: Literal[1, 3] = 3
    text_size: int = 768
    hidden_size: int = 256
    heads: int = 4
    layers: int = 4
    feed_forward: int = 1024
    dropout: float = 0.1
    head_dropout: float = 0.0
    disentangle: bool = True
    mask: Literal["sigmoid", "linear"] = "sigmoid"
    shared_norm: bool = False
    icl: bool = True
    icl_similarity: Literal["cosine", "dot"] = "cosine"
    icl_scale: Literal["none", "learned"] = "none"
    tau: float = 1.0
    learn_tau: bool = False


@dataclass
class StreamOutput:
    """What one stream says about its N queries.

    Attributes:
        patches: the stream's patch embeddings [B, L, d], row by row of the grid.
        queried: the query network's outputs q [B, N, d].
        logits: existence logits [B, N]; their sigmoid is the probability of existence.
        aligned: v, the outputs mapped to the text space [B, N, text_size].
        attention: cross-attention averaged over heads [B, layers, N, L], rows sum to 1; None unless asked for.
    """

    patches: Tensor
    queried: Tensor
    logits: Tensor
    aligned: Tensor
    attention: Tensor | None


@dataclass
class MeDSLIPOutput:
    """Both streams, and where they meet.

    Attributes:
        pathology: the pathology stream.
        anatomy: the anatomy stream.
        icl_logits: S of equation (5), scaled where that is learned [B, N_a, N_p]; None without ICL.
        proto_scale: 1 / tau of the prototypical loss, a scalar.
    """

    pathology: StreamOutput
    anatomy: StreamOutput
    icl_logits: Tensor | None
    proto_scale: Tensor


class DecoderLayer(nn.Module):
    """Pre-norm transformer decoder layer; parameters are named as in torch's TransformerDecoderLayer."""

    def __init__(self, config: MeDSLIPConfig) -> None:
        super().__init__()
        d, heads, dropout = config.hidden_size, config.heads, config.dropout
        self.self_attn = nn.MultiheadAttention(d, heads, dropout, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(d, heads, dropout, batch_first=True)
        self.linear1 = nn.Linear(d, config.feed_forward)
        self.linear2 = nn.Linear(config.feed_forward, d)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, memory: Tensor, maps: bool) -> tuple[Tensor, Tensor | None]:
        """One layer.

        Args:
            queries: [B, N, d], or [1, N, d] where they are still the same for every image.
            memory: [B, L, d].
            maps: whether to return the cross-attention.

        Returns:
            [B, N, d] and the cross-attention averaged over heads [B, N, L], or None.
        """
        x = self.norm1(queries)
        queries = queries + self.dropout(self.self_attn(x, x, x, need_weights=False)[0])
        x = self.norm2(queries).expand(len(memory), -1, -1)  # [B, N, d]
        found, weights = self.multihead_attn(x, memory, memory, need_weights=maps)
        queries = queries + self.dropout(found)
        x = self.linear2(self.dropout(F.relu(self.linear1(self.norm3(queries)))))
        return queries + self.dropout(x), weights


class QueryNetwork(nn.Module):
    """Q: prompts query a stream's patches through a transformer decoder without positional encoding."""

    def __init__(self, config: MeDSLIPConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.dropout = config.dropout

    def forward(self, queries: Tensor, patches: Tensor, maps: bool) -> tuple[Tensor, Tensor | None]:
        """Queries [N, d] and patches [B, L, d] to outputs [B, N, d] and attention [B, layers, N, L] or None."""
        x = queries.unsqueeze(0)  # [1, N, d]
        if self.training and self.dropout > 0:  # otherwise the first self-attention is the same for every image
            x = x.expand(len(patches), -1, -1)
        attention = []
        for layer in self.layers:
            x, weights = layer(x, patches, maps)
            attention.append(weights)
        return self.norm(x), torch.stack(attention, dim=1) if maps else None


class Stream(nn.Module):
    """One stream: patch embedding, query network, existence predictor, and the way to the text space."""

    def __init__(self, config: MeDSLIPConfig) -> None:
        super().__init__()
        width = config.widths[-1]
        self.embed1 = nn.Linear(width, width)
        self.embed2 = nn.Linear(width, config.hidden_size)
        self.decoder = QueryNetwork(config)
        self.head_dropout = nn.Dropout(config.head_dropout)
        self.predictor = nn.Linear(config.hidden_size, 2)
        self.to_text = nn.Linear(config.hidden_size, config.text_size)

    def forward(self, features: Tensor, queries: Tensor, maps: bool) -> StreamOutput:
        """Features [B, L, C] of this stream and queries [N, d] to the stream's output."""
        patches = self.embed2(F.relu(self.embed1(features)))  # [B, L, d]
        queried, attention = self.decoder(queries, patches, maps)
        found = self.head_dropout(queried)
        absent, present = self.predictor(found).unbind(-1)  # two classes: softmax is the sigmoid of the difference
        return StreamOutput(patches, queried, present - absent, self.to_text(found), attention)


class CoExistence(nn.Module):
    """Equation (5): how well each anatomy's embedding fits each pathology's in the same image."""

    def __init__(self, config: MeDSLIPConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.cosine = config.icl_similarity == "cosine"
        self.anatomy = nn.Linear(d, d) if self.cosine else nn.Identity()
        self.pathology = nn.Linear(d, d) if self.cosine else nn.Identity()
        self.scaled = config.icl_scale == "learned"
        if self.scaled:  # starting values of sigmoid contrastive losses (SigLIP)
            self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
            self.bias = nn.Parameter(torch.tensor(-10.0))

    def forward(self, anatomy: Tensor, pathology: Tensor) -> Tensor:
        """Queried embeddings [B, N_a, d] and [B, N_p, d] to logits [B, N_a, N_p]."""
        anatomy, pathology = self.anatomy(anatomy), self.pathology(pathology)
        if self.cosine:
            anatomy, pathology = F.normalize(anatomy, dim=-1), F.normalize(pathology, dim=-1)
        similarity = anatomy @ pathology.transpose(1, 2)
        if self.scaled:
            similarity = similarity * self.log_scale.exp().clamp(max=MAX_SCALE) + self.bias
        return similarity


class MeDSLIP(nn.Module):
    """The model of the paper; its switches are MeDSLIPConfig's."""

    def __init__(self, config: MeDSLIPConfig) -> None:
        super().__init__()
        self.config = config
        width = config.widths[-1]
        self.backbone = PatchEncoder(config.block, config.depths, config.widths, config.stem, config.channels)
        self.prompt_projection = nn.Linear(config.text_size, config.hidden_size)  # shared by the streams
        self.pathology = Stream(config)
        self.anatomy = Stream(config)
        if config.shared_norm:
            self.anatomy.decoder.norm = self.pathology.decoder.norm
        if config.disentangle:
            self.mask_generator = nn.Linear(width, width)
        scale = torch.tensor(-math.log(config.tau))
        if config.learn_tau:
            self.proto_log_scale = nn.Parameter(scale)
        else:
            self.register_buffer("proto_log_scale", scale, persistent=False)
        if config.icl:  # last, so that switching it leaves every other starting weight as it was
            self.co_existence = CoExistence(config)

    def forward(
        self, images: Tensor, pathology_prompts: Tensor, anatomy_prompts: Tensor, maps: bool = False
    ) -> MeDSLIPOutput:
        """Both streams.

        Args:
            images: [B, 1, S, S] grey in 0..1, or [B, 3, S, S] already normalised.
            pathology_prompts: text vectors [N_p, text_size].
            anatomy_prompts: text vectors [N_a, text_size].
            maps: whether to return attention maps.
        """
        of_pathology, of_anatomy = self.disentangle(images)
        pathology = self.pathology(of_pathology, self.prompt_projection(pathology_prompts), maps)
        anatomy = self.anatomy(of_anatomy, self.prompt_projection(anatomy_prompts), maps)
        icl_logits = self.co_existence(anatomy.queried, pathology.queried) if self.config.icl else None
        proto_scale = self.proto_log_scale.exp().clamp(max=MAX_SCALE)
        return MeDSLIPOutput(pathology, anatomy, icl_logits, proto_scale)

    def disentangle(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the pathology and the anatomy stream, [B, L, C] each; equation (1)."""
        x = self.backbone(images).flatten(2).transpose(1, 2)  # [B, L, C]
        if not self.config.disentangle:
            return x, x
        mask = self.mask_generator(x)
        if self.config.mask == "sigmoid":
            mask = torch.sigmoid(mask)
        of_pathology = mask * x
        return of_pathology, x - of_pathology  # x - Mx = (1 - M)x
