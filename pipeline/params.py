"""params.yaml as validated types: every parameter, its meaning and its range.

`conf/` holds the groups that compose params.yaml; this module holds what a value may be. A stage asks
for the sections that dvc.yaml declares for it and sees no other.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.errors import ParamsError

BENCHMARKS = ("cxr14", "rsna", "siim", "covidx", "covid_chestxray", "vinbigdata", "rahman")
Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]


class Section(BaseModel):
    """A section of params.yaml: unknown names are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """Where the datasets lie; `data/phantom` means the phantoms that the pipeline draws itself."""

    root: str


class Corpus(Section):
    """The image-report pairs to pre-train on."""

    name: Literal["mimic_cxr", "covid_chestxray", "openi", "csv"]
    folder: str  # below data.root; "." when data.root is the dataset itself
    labels: str  # the file whose change re-runs the reader; the table of corpus csv
    views: tuple[str, ...]  # wanted; none means all images, whether their view is known or not
    sections: tuple[Literal["findings", "impression"], ...] = Field(min_length=1)


class Phantom(Section):
    """How many phantoms to draw, and how large."""

    size: Annotated[int, Field(ge=64, le=2048)]  # pixels
    studies: Positive  # of the pre-training corpus
    cxr14: Positive  # images of each benchmark
    rsna: Positive
    siim: Positive
    covidx: Positive
    vinbigdata: Positive
    rahman: Positive


class BenchmarkFolder(Section):
    """Where one benchmark lies."""

    folder: str  # below data.root; "." when data.root is the dataset itself
    labels: str  # the file whose change re-runs the reader
    votes: Annotated[int, Field(ge=1, le=3)] | None = None  # vinbigdata: radiologists of three who must name a finding


class Images(Section):
    """Decoded images."""

    size: Annotated[int, Field(ge=32, le=1024)]  # pixels of the square that training sees
    max_broken: Natural  # more unreadable images than this stop the stage


class RadGraph(Section):
    """The model of the source radgraph; `triplets.radgraph_archive.RadGraphConfig` describes each."""

    model: Literal["radgraph", "radgraph-xl", "modern-radgraph-xl"]
    folder: str  # of weights, else the empty file of the repository, which asks the hub
    batch: Positive


class Llm(Section):
    """The endpoint of the source llm; `triplets.llm_server.LlmConfig` describes each but the prices."""

    base_url: str
    model: str | None
    api_key_env: str
    allow_remote: bool
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None
    concurrency: Positive
    timeout: Annotated[float, Field(gt=0.0)]
    max_retries: Natural
    max_failed: Natural
    cache: str
    price_per_million_input: Weight | None  # of tokens, in any currency; null leaves the cost out
    price_per_million_output: Weight | None

    @field_validator("api_key_env")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not re.fullmatch("[A-Z][A-Z0-9_]*", value):  # and may be the key itself, which no message must show
            raise ValueError("must be the name of an environment variable, in capitals; never the key itself")
        return value


class Extraction(Section):
    """Where triplets come from; `triplets.extract` describes each."""

    source: Literal["spacy", "graphs", "radgraph", "llm"]
    graphs: str  # MIMIC-CXR_graphs.json for the source graphs, else the empty file of the repository
    radgraph: RadGraph
    llm: Llm
    engine: Literal["local", "ray"]


class QuerySets(Section):
    """Which pathologies and anatomies are asked for."""

    source: str  # frequency | released | path of a YAML file with two lists
    pathologies: Positive
    anatomies: Positive  # named ones; "other" is added


class TextEncoder(Section):
    """The frozen text encoder."""

    source: str  # corpus (train one here) | hub id | folder
    pooling: Literal["cls", "mean"]
    hidden: Positive
    layers: Positive
    heads: Positive
    vocabulary: Annotated[int, Field(ge=200)]
    steps: Annotated[int, Field(ge=20)]
    batch: Positive
    lr: Annotated[float, Field(gt=0, lt=1)]
    contrast: Weight


class Labels(Section):
    """What is made of findings: what the losses take those to mean that are not sure, and MedFILIP's label texts."""

    unmentioned: Literal["negative", "ignore"]
    uncertain: Literal["ignore", "positive", "negative"]
    entities: bool  # a label text per finding; without, a study's whole report is its label
    fine_grained: bool  # with location and severity; without, the category alone
    min_ratio: Fraction  # categories present in no larger share of the training studies are left out


class Knowledge(Section):
    """What is told beside a finding's name."""

    explanations: bool  # MedFILIP's label texts go on with the category's explanation


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

    @model_validator(mode="after")
    def _heads_fit(self) -> "Model":
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}")
        return self


class MedFILIPModel(Encoder):
    """MedFILIP; `networks.medfilip.MedFILIPConfig` describes each but the first."""

    imported: None
    embed: Positive
    scale: Annotated[float, Field(gt=0.0)]
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


class Loss(Section):
    """MeDSLIP's losses and their switches; `losses.medslip.LossConfig` describes each."""

    protocl: bool
    proto_weight: Weight
    proto_similarity: Literal["dot", "cosine"]
    negatives: Positive
    tau: Annotated[float, Field(gt=0.0)]
    learn_tau: bool
    icl: bool
    icl_weight: Weight
    icl_similarity: Literal["cosine", "dot"]
    icl_scale: Literal["none", "learned"]


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
    crop: tuple[Fraction, Fraction]
    aspect: Annotated[float, Field(ge=1.0)]
    interpolation: Literal["bilinear", "bicubic"]
    operations: Annotated[int, Field(ge=0, le=4)]
    magnitude: Annotated[float, Field(ge=0.0, le=10.0)]
    rotate: Annotated[float, Field(ge=0.0, le=180.0)]
    shift: Fraction
    contrast: Weight
    brightness: Weight
    gamma: Weight


class Evaluation(Section):
    """How benchmarks are scored."""

    prompt_style: Literal["name", "template", "explanation"]
    resamples: Annotated[int, Field(ge=100)]  # of the patients, for 95 % intervals


class Fit(Section):
    """A small training; `evaluation.fitting.FitConfig` describes each."""

    steps: Positive
    batch: Positive
    lr: Annotated[float, Field(gt=0.0, lt=1.0)]
    weight_decay: Weight


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


class Params(Section):
    """All of params.yaml."""

    seed: Natural
    threads: Positive  # of the numerical libraries; results depend on it in the last bits
    method: Literal["medslip", "medfilip"]
    scale: str  # the chosen group of conf/scale
    data: Data
    corpus: Corpus
    phantom: Phantom
    benchmarks: dict[str, BenchmarkFolder]
    corpus_benchmarks: tuple[Literal["mimic16", "mimic_multi", "mimic_fg"], ...]  # made of the corpus' held-out images
    grounding: tuple[str, ...]  # benchmarks with boxes to ground on
    unseen: tuple[Literal["covidx", "rahman"], ...]  # benchmarks of COVID-19, which no corpus of before 2020 shows
    retrieval: tuple[Literal["corpus"], ...]  # whether to retrieve among the corpus' test images
    finding_maps: tuple[str, ...]  # benchmarks whose findings are mapped, diseased against healthy
    images: Images
    extraction: Extraction
    query_sets: QuerySets
    text_encoder: TextEncoder
    labels: Labels
    knowledge: Knowledge
    model: Model | MedFILIPModel
    loss: Loss | MedFILIPLoss
    train: Train
    augment: Augment
    evaluation: Evaluation
    finetune: Finetune

    @model_validator(mode="after")
    def _benchmarks_are_known(self) -> "Params":
        for name, folder in self.benchmarks.items():
            if name not in BENCHMARKS:
                raise ValueError(f"benchmarks.{name} is no benchmark; those are {', '.join(BENCHMARKS)}")
            if folder.votes is not None and name != "vinbigdata":
                raise ValueError(f"benchmarks.{name}.votes is not a parameter: votes are vinbigdata's")
        tasks = {
            "grounding": self.grounding,
            "finding_maps": self.finding_maps,
            "unseen": self.unseen,
            "finetune.benchmarks": self.finetune.benchmarks,
            "finetune.segmentation": self.finetune.segmentation,
        }
        for task, names in tasks.items():
            if unknown := [name for name in names if name not in self.benchmarks]:
                raise ValueError(f"{task} names {unknown[0]!r}, which is not among the benchmarks")
        return self


class MeDSLIPParams(Params):
    """All of params.yaml where the method is MeDSLIP."""

    method: Literal["medslip"]
    model: Model
    loss: Loss

    @model_validator(mode="after")
    def _explains(self) -> "MeDSLIPParams":
        if not self.knowledge.explanations:
            raise ValueError("knowledge.explanations is MedFILIP's switch: MeDSLIP's queries are explanations")
        return self


class MedFILIPParams(Params):
    """All of params.yaml where the method is MedFILIP."""

    method: Literal["medfilip"]
    model: MedFILIPModel
    loss: MedFILIPLoss

    @model_validator(mode="after")
    def _labels_fit(self) -> "MedFILIPParams":
        if self.labels.entities:
            return self
        if self.labels.unmentioned == "ignore":
            raise ValueError("labels.unmentioned = ignore needs labels.entities: a report mentions no other report")
        if self.augment.flip == "laterality":
            raise ValueError("augment.flip = laterality needs labels.entities: set none, as method=convirt does")
        return self


METHODS: dict[str, type[Params]] = {"medslip": MeDSLIPParams, "medfilip": MedFILIPParams}


def load_params(reads: Sequence[str], path: Path = Path("params.yaml")) -> Params:
    """Read and validate params.yaml, keeping only the sections that a stage declares.

    Args:
        reads: names of the sections to keep; reading another one is an AttributeError.
        path: the file.

    Raises:
        ParamsError: the file is missing, or a parameter is unknown, missing or out of range.
    """
    full = parse_params(_read_yaml(path), path)
    return type(full).model_construct(_fields_set=set(reads), **{name: getattr(full, name) for name in reads})


def parse_params(values: dict[str, Any], path: Path = Path("params.yaml")) -> Params:
    """Validate the content of params.yaml.

    Raises:
        ParamsError: names each parameter that is unknown, missing or out of range, and what it may be.
    """
    try:
        return METHODS.get(str(values.get("method")), Params).model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_problem(item) for item in error.errors())
        raise ParamsError(f"{path}: {problems}. Mend it there, or in the -S override.") from error


def compose(folder: Path, overrides: Sequence[str] = ()) -> tuple[str, dict[str, Any]]:
    """Compose the configuration groups as DVC does for `dvc exp run -S`.

    Args:
        folder: the folder of groups, with config.yaml.
        overrides: Hydra overrides, such as "scale=paper" or "loss.icl=false".

    Returns:
        The text of params.yaml, and its content.

    Raises:
        ParamsError: a group or an overridden parameter does not exist.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    try:
        with initialize_config_dir(str(folder.resolve()), version_base=None):
            config = hydra_compose("config", overrides=list(overrides))
    except HydraException as error:
        raise ParamsError(f"{folder} does not compose: {str(error).splitlines()[0]}.") from error
    OmegaConf.resolve(config)
    values: dict[str, Any] = OmegaConf.to_object(config)  # type: ignore[assignment]
    return OmegaConf.to_yaml(config), values


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ParamsError(
            f"{path} is missing: run the command in the project's folder, or write it with `cxr compose`."
        )
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}. Write it anew with `cxr compose`.") from error
    if not isinstance(values, dict):
        raise ParamsError(f"{path} holds no parameters: write it anew with `cxr compose`.")
    return values


def _problem(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{name} is not a parameter"
    if item["type"] == "missing":
        return f"{name} is missing"
    if item["type"] == "value_error":  # of values that do not fit each other
        return f"{name}: {item['ctx']['error']}" if name else str(item["ctx"]["error"])
    return f"{name} = {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}"
