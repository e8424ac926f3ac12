"""The two methods: their models and losses."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.section import Fraction, Natural, Positive, Section, Weight

MAX_SCALE = 100.0  # the networks' own, where they cut exp(scale) and 1 / tau: beyond it neither says what is trained


class Encoder(Section):
    """The image encoder; `networks.backbone.PatchEncoder` describes each but the first."""

    imported: str | None
    block: Literal["bottleneck", "basic"]
    depths: tuple[Positive, ...] = Field(min_length=1, max_length=4)
    widths: tuple[Positive, ...] = Field(min_length=1, max_length=4)
    stem: Positive
    channels: Literal[1, 3]

    @model_validator(mode="after")
    def _stages_fit(self) -> "Encoder":
        if len(self.depths) != len(self.widths):
            raise ValueError(
                f"depths and widths must name as many stages, not {len(self.depths)} and {len(self.widths)}"
            )
        return self


class Model(Encoder):
    """MeDSLIP; `networks.medslip.MeDSLIPConfig` describes each but the first."""

    imported: str | None  # folder that `cxr import-checkpoint` wrote, whose model is evaluated; null trains one
    disentangle: bool
    mask: Literal["sigmoid", "linear"]
    shared_norm: bool
    hidden_size: Positive
    heads: Positive
    layers: Positive
    feed_forward: Positive
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    head_dropout: Annotated[float, Field(ge=0.0, lt=1.0)]

    @model_validator(mode="after")
    def _heads_fit(self) -> "Model":
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}")
        return self


class Loss(Section):
    """MeDSLIP's losses and their switches; `losses.medslip.LossConfig` describes each."""

    protocl: bool
    proto_weight: Weight
    proto_similarity: Literal["dot", "cosine"]
    negatives: Positive
    tau: Annotated[float, Field(ge=1 / MAX_SCALE)]
    learn_tau: bool
    icl: bool
    icl_weight: Weight
    icl_similarity: Literal["cosine", "dot"]
    icl_scale: Literal["none", "learned"]

    @model_validator(mode="after")
    def _tau_can_be_learned(self) -> "Loss":
        if self.learn_tau and self.tau <= 1 / MAX_SCALE:
            raise ValueError(f"tau {self.tau} must be above {1 / MAX_SCALE} to be learned: there it has no gradient")
        return self


class MedFILIPModel(Encoder):
    """MedFILIP; `networks.medfilip.MedFILIPConfig` describes each but the first."""

    imported: None
    embed: Positive
    scale: Annotated[float, Field(gt=0.0, le=MAX_SCALE)]
    bias: float
    pooling: Literal["mean", "max"]
    train_text: bool


class MedFILIPLoss(Section):
    """The loss and its switches; `losses.medfilip.ITMConfig` describes each."""

    itm: Literal["ce", "bce"]
    mse_weight: Weight
    ssm: bool
    ssm_same_category: bool
    plain: Fraction
    texts: Natural
    every_category: bool
