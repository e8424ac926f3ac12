"""The one error a user meets: a sentence that names the file or value and the remedy.

Stages and the command line print it without a traceback and exit with code 1. Anything else that
escapes is a defect and keeps its traceback. Messages never hold report text.
"""


class PipelineError(Exception):
    """Something the user can mend: says what is wrong, where, and what to do next."""


class ParamsError(PipelineError):
    """A parameter is unknown or outside its range."""


class DatasetError(PipelineError):
    """A dataset, label file, column or value is missing or not as published."""


class ImageError(PipelineError):
    """An image cannot be decoded into one 8 bit greyscale frame."""


class TableError(PipelineError):
    """A file that passes between stages breaks its declared schema."""


class ModelError(PipelineError):
    """Weights, vocabulary or configuration of a model are missing or do not fit."""


class ExtractionError(PipelineError):
    """Triplets cannot be extracted: a worker died, or an engine or the room to work is missing."""


class TrainingError(PipelineError):
    """Training cannot go on: a loss is not finite, or there is nothing to learn from."""


class EvaluationError(PipelineError):
    """A benchmark cannot be scored: no positives, no negatives, or no validation images."""
