"""A disease that pre-training never saw, asked for in four ways, compared on the same test images.

By a known disease's name, as MedFILIP's Table 3 does under "Category" (pneumonia stands for COVID-19); by the known
disease's explanation, which a model pre-trained on explanations knows better; by its own name; and by the explanation
of what it looks like. AUROCs are compared by DeLong's test, patients counting as independent. F1 and accuracy are the
paper's: at the threshold that maximises F1 on the test images, hence `_oracle`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline import schemas
from pipeline.errors import EvaluationError
from pipeline.evaluation.metrics import auroc, best_threshold, decide
from pipeline.evaluation.scorer import ImageSource, Prompts, Scorer, locate
from pipeline.evaluation.statistics import PairedTest, delong_test
from pipeline.evaluation.zero_shot import join_labels, score_images

CATEGORY, KNOWN, NAME, EXPLANATION = "category", "known_explanation", "name", "explanation"


@dataclass(frozen=True)
class UnseenResult:
    """Metrics as plain values for JSON; and the scores (`schemas.SCORES`), `finding` being how it was asked for."""

    metrics: dict[str, Any]
    scores: pl.DataFrame


def evaluate_unseen(
    scorer: Scorer,
    source: ImageSource,
    images: pl.DataFrame,
    labels: pl.DataFrame,
    finding: str,
    namings: Mapping[str, Prompts],
    *,
    benchmark: str,
) -> UnseenResult:
    """Score the test images of one benchmark for one finding, each naming asked alone.

    Args:
        scorer: the model.
        source: the decoded images; a test image that is not among them is left out.
        images: `schemas.IMAGES` of the benchmark.
        labels: `schemas.LABELS` of the benchmark.
        finding: the unseen disease, as in the labels.
        namings: CATEGORY, KNOWN, NAME and EXPLANATION -> one prompt.
        benchmark: its name, for errors.

    Returns:
        `category`, `known_explanation`, `name`, `explanation`: AUROC, and each with `_f1_oracle` and
        `_accuracy_oracle`; `difference`, `interval` and `p`: explanation
        minus category, its 95 % interval and DeLong's p; `against`: the same for each of the others; `higher`: the
        better of explanation and category, whether or not p is small.

    Raises:
        EvaluationError: fewer than two test images are positive or negative, or a score is not finite.
    """
    found = locate(source, images.filter(pl.col("split") == "test"))
    labelled = labels.filter(pl.col("finding") == finding)
    scores = pl.concat(
        join_labels(found, scored, labelled, [finding]).with_columns(finding=pl.lit(naming))
        for naming, scored in score_images(scorer, source, found, namings).items()
    ).drop_nulls("label")
    parts = {naming: scores.filter(pl.col("finding") == naming) for naming in namings}
    truth = parts[EXPLANATION]["label"].to_numpy()
    if min((truth == 1).sum(), (truth == 0).sum()) < 2:
        raise EvaluationError(
            f"{benchmark} has {finding} in {(truth == 1).sum()} of {len(truth)} test images, and two of each kind are "
            "needed to compare how it is named: leave it out of `unseen`."
        )
    values = {naming: part["score"].to_numpy() for naming, part in parts.items()}
    aurocs = {naming: auroc(truth, value) for naming, value in values.items()}
    others = [naming for naming in namings if naming != EXPLANATION]
    patients = parts[EXPLANATION]["patient_id"].to_numpy()
    against = {
        naming: _described(delong_test(truth, values[EXPLANATION], values[naming], patients)) for naming in others
    }
    metrics = {
        **aurocs,
        **{name: value for naming in namings for name, value in _oracle(naming, truth, values[naming]).items()},
        **against[CATEGORY],
        "against": {naming: test for naming, test in against.items() if naming != CATEGORY},
        "higher": _higher(aurocs),
        "texts": {naming: prompts.texts[0] for naming, prompts in namings.items()},
        "counts": {"images": len(truth), "positives": int(truth.sum())},
    }
    return UnseenResult(metrics, scores.select(schemas.SCORES.names))


def _oracle(naming: str, truth: NDArray[np.int8], scores: NDArray[np.float32]) -> dict[str, float]:
    decision = decide(truth, scores, best_threshold(truth, scores))
    return {f"{naming}_f1_oracle": decision.f1, f"{naming}_accuracy_oracle": decision.accuracy}


def _described(test: PairedTest) -> dict[str, Any]:
    values = asdict(test)
    return {"difference": values["difference"], "interval": [values["low"], values["high"]], "p": values["p_value"]}


def _higher(aurocs: Mapping[str, float]) -> str:
    if aurocs[EXPLANATION] == aurocs[CATEGORY]:
        return "neither"
    return EXPLANATION if aurocs[EXPLANATION] > aurocs[CATEGORY] else CATEGORY
