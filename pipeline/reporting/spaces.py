"""Figures of a model's embedding spaces, each with its title and the one sentence that says what to see.

Drawn by `maps`.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.reporting import maps
from pipeline.reporting.compare import figure
from pipeline.reporting.pictures import Picture, full_name
from pipeline.reporting.results import Outcome, Results


def space_pictures(outcome: Outcome) -> Iterator[Picture]:
    """Diseased against healthy images, the two streams, and how similar texts are."""
    for benchmark, points in outcome.finding_points.items():
        per_class = outcome.tasks["finding_maps"][benchmark]["per_class"]
        findings = points["finding"].unique(maintain_order=True)
        titles = [f"{name}: {figure(per_class[name]['silhouette'])}" for name in findings]
        title = f"Diseased and healthy images, {full_name(benchmark)}"
        yield Picture(f"finding_maps_{benchmark}", title, _apart(per_class), maps.finding_maps(points, titles))
    if outcome.streams is not None and outcome.silhouette is not None:
        see = (
            "Two separate clouds mean that pathology and anatomy are disentangled; their silhouette score is "
            f"{figure(outcome.silhouette)} (1 apart, 0 mixed)."
        )
        yield Picture("streams", "t-SNE of the two streams", see, maps.streams(outcome.streams))
    if outcome.case_study is not None:
        yield from _similarities(outcome.case_study)


def _apart(per_class: Results) -> str:
    ranked = sorted(per_class, key=lambda name: per_class[name]["silhouette"])
    (worst, best), scores = (ranked[0], ranked[-1]), per_class
    return (
        f"Further apart is better: by silhouette score (1 apart, 0 mixed; above each map) {best} stands out most "
        f"({figure(scores[best]['silhouette'])}), {worst} least ({figure(scores[worst]['silhouette'])})."
    )


def _similarities(study: Results) -> Iterator[Picture]:
    """One matrix of the frozen text encoder per style of text, with what the trained model makes of the same texts."""
    for style in study["styles"]:
        title = f"Similarity of label texts, {style}"
        frozen, trained = (_contrast(study["contrast"][model][style]) for model in ("frozen", "trained"))
        see = (
            f"Mean cosine of texts written this way ({style}): {frozen} to the frozen encoder, shown here, and "
            f"{trained} after training; the lower, the better they are told apart."
        )
        name = f"similarity_{style.replace(' ', '_').replace('-', '_')}"
        matrix = np.array(study["similarity"][style])
        yield Picture(name, title, see, maps.similarity(study["texts"], matrix, title))


def _contrast(found: Mapping[str, float | None]) -> str:
    """Of severities of one finding and of different findings; one of them may not be there."""
    words = {"between": "of different findings", "within": "of severities of one finding"}
    return " and ".join(f"{figure(found[name])} {said}" for name, said in words.items() if found[name] is not None)
