"""params.yaml as validated types: every parameter, its meaning and its range.

`conf/` holds the groups that compose params.yaml; these modules hold what a value may be. A stage asks for the sections
that dvc.yaml declares for it and sees no other.
"""

from pipeline.params.data import BENCHMARKS, BenchmarkFolder, Corpus
from pipeline.params.evaluation import Finetune
from pipeline.params.experiment import Params
from pipeline.params.files import compose, load_params, parse_params
from pipeline.params.text import Extraction, TextEncoder

__all__ = [
    "BENCHMARKS",
    "BenchmarkFolder",
    "Corpus",
    "Extraction",
    "Finetune",
    "Params",
    "TextEncoder",
    "compose",
    "load_params",
    "parse_params",
]
