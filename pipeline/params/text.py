"""What is made of reports: triplets, query sets, vectors and label texts."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.params.section import Fraction, Natural, Positive, Section, Weight


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

    @model_validator(mode="after")
    def _heads_fit(self) -> "TextEncoder":
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} must be a multiple of heads {self.heads}")
        return self


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
