"""The pre-training, whatever the method."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.section import Fraction, Natural, Positive, Section, Weight

Area = Annotated[float, Field(gt=0.0, le=1.0)]  # of a crop, as a share of the image


class Train(Section):
    """The training loop; `training.loop.TrainConfig` describes each."""

    epochs: Positive
    batch: Positive
    parts: Positive
    optimizer: Literal["adamw", "sgd"]
    lr: Annotated[float, Field(gt=0.0, lt=1.0)]
    min_lr: Annotated[float, Field(gt=0.0, lt=1.0)]
    warmup_epochs: Weight
    restarts: Natural
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)]
    weight_decay: Weight
    clip: Weight
    precision: Literal["32-true", "bf16-mixed"]
    devices: Positive | Literal["auto"]
    nodes: Positive
    compile: bool
    log_every: Positive
    checkpoint_every: Positive

    @model_validator(mode="after")
    def _fits(self) -> "Train":
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr {self.min_lr} must not exceed lr {self.lr}")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} must be fewer than epochs {self.epochs}")
        if self.batch % self.parts:
            raise ValueError(f"parts {self.parts} must divide batch {self.batch}")
        return self


class Augment(Section):
    """How training images vary; `training.augmentation.AugmentConfig` describes each."""

    flip: Literal["none", "plain", "laterality"]
    crop: tuple[Area, Area]
    aspect: Annotated[float, Field(ge=1.0)]
    interpolation: Literal["bilinear", "bicubic"]
    operations: Annotated[int, Field(ge=0, le=4)]
    magnitude: Annotated[float, Field(ge=0.0, le=10.0)]
    rotate: Annotated[float, Field(ge=0.0, le=180.0)]
    shift: Fraction
    contrast: Weight
    brightness: Weight
    gamma: Weight

    @model_validator(mode="after")
    def _crop_is_a_range(self) -> "Augment":
        if self.crop[0] > self.crop[1]:
            raise ValueError(f"crop {list(self.crop)} must give the smaller share of the image first")
        return self
