"""How a trained model is scored and fine-tuned."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params.section import Positive, Section, Weight


class Evaluation(Section):
    """How benchmarks are scored."""

    prompt_style: Literal["name", "template", "explanation", "label"]
    resamples: Annotated[int, Field(ge=100)]  # of the patients, for 95 % intervals


class Fit(Section):
    """A small training; `evaluation.fitting.FitConfig` describes each."""

    steps: Positive
    batch: Positive
    lr: Annotated[float, Field(gt=0.0, lt=1.0)]
    weight_decay: Weight
    epochs: Annotated[int, Field(ge=0)]


class Finetune(Section):
    """What is fine-tuned at 1, 10 and 100 % of a benchmark's training images, and from where."""

    benchmarks: tuple[str, ...]  # to classify
    segmentation: tuple[str, ...]  # benchmarks with masks to segment
    inits: tuple[Literal["pretrained", "random", "imagenet"], ...]  # how encoders start
    imagenet: str  # hub id | folder of a ResNet in transformers' format, for the init imagenet
    encoder: Literal["frozen", "full"]  # for classification; segmentation keeps it frozen
    seeds: Positive  # draws of the 1 % and 10 % subsets to classify by
    decoder_seeds: Positive  # and to segment by, which takes longer
    tuning: Fit  # of a full encoder with its head
    decoder: Fit  # of the segmentation

    @model_validator(mode="after")
    def _compares(self) -> "Finetune":
        if "pretrained" not in self.inits or len(set(self.inits)) < len(self.inits):
            raise ValueError(f"inits must name pretrained, and each once, not {', '.join(self.inits) or 'nothing'}")
        return self
