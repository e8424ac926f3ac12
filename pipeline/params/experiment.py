"""All of params.yaml, and how its sections must fit each other."""

from operator import attrgetter
from typing import Literal

from pydantic import model_validator

from pipeline.params.data import BENCHMARKS, BenchmarkFolder, Corpus, Data, Images, Phantom
from pipeline.params.evaluation import Evaluation, Finetune
from pipeline.params.methods import Loss, MedFILIPLoss, MedFILIPModel, Model
from pipeline.params.section import Natural, Positive, Section
from pipeline.params.tasks import TASKS, check_tasks
from pipeline.params.text import Extraction, Knowledge, Labels, QuerySets, TextEncoder
from pipeline.params.training import Augment, Train


class Params(Section):
    """All of params.yaml."""

    seed: Natural
    threads: Positive  # of the numerical libraries; results depend on it in the last bits
    method: Literal["medslip", "medfilip"]
    scale: str  # the chosen group of conf/scale
    data: Data
    inputs: dict[str, str]  # who reads it -> file or folder that the user supplies; `compose` finds them
    corpus: Corpus
    phantom: Phantom
    benchmarks: dict[str, BenchmarkFolder]
    corpus_benchmarks: tuple[Literal["mimic16", "mimic_multi", "mimic_fg"], ...]  # made of the corpus' held-out images
    grounding: tuple[str, ...]  # benchmarks with boxes to ground on
    unseen: tuple[str, ...]  # benchmarks of COVID-19, which no corpus of before 2020 shows
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
        check_tasks({task: attrgetter(task)(self) for task in TASKS}, self.benchmarks)
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
