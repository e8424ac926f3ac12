"""Prompt texts of the query sets and benchmarks.

How queries are chosen is in `query_sets`, what becomes of the texts in `vectors`.
"""

from collections.abc import Mapping

import polars as pl

from pipeline.semantics.knowledge import Knowledge
from pipeline.semantics.label_texts import label_text
from pipeline.semantics.query_sets import KINDS, pathology_prompts

STYLES = ("name", "template", "explanation", "label")
TRAINING_STYLES = {"pathology": "explanation", "anatomy": "template"}
KNOWN_DISEASE = "pneumonia"  # by whose name MedFILIP's Table 3 asks for COVID-19, which no model has seen
UNSEEN = "unseen"  # the group of that prompt
BENCHMARK_TEMPLATE = "There is {pathology}."

Finding = tuple[str, str | None]  # canonical pathology, and severity where one is asked for


def prompt_table(
    query_sets: pl.DataFrame,
    benchmarks: Mapping[str, Mapping[str, Finding]],
    knowledge: Knowledge,
    injected: Knowledge | None,
) -> pl.DataFrame:
    """Every prompt that a model is trained or scored with.

    Args:
        query_sets: schema QUERY_SETS.
        benchmarks: benchmark -> {finding: what it is}; the order is the vectors'.
        knowledge: explains the canonical pathologies that no query stands for, such as one never seen in training.
        injected: explains the structured labels, as those that MedFILIP learns from are; none where they end with
            themselves.

    Returns:
        Schema PROMPTS: the groups `pathology` (style explanation) and `anatomy` (style template), and each benchmark in
        all STYLES. A finding that a query stands for is explained in that query's words, which MeDSLIP knows; one of a
        stated severity by its label text. The style label is the structured label in the words that MedFILIP knows.

    Raises:
        ParamsError: a finding has no explanation.
    """
    rows = [
        (kind, TRAINING_STYLES[kind], *row)
        for kind in KINDS
        for row in query_sets.filter(pl.col("kind") == kind).sort("index").select("index", "name", "prompt").rows()
    ]
    learned = pathology_prompts(query_sets)
    for group, findings in benchmarks.items():
        texts = {name: _styles(*finding, learned, knowledge, injected) for name, finding in findings.items()}
        for style in STYLES:
            rows += [(group, style, index, name, texts[name][style]) for index, name in enumerate(findings)]
    schema = {"group": pl.String, "style": pl.String, "index": pl.Int32, "name": pl.String, "text": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _styles(
    pathology: str, severity: str | None, learned: Mapping[str, str], knowledge: Knowledge, injected: Knowledge | None
) -> dict[str, str]:
    name = f"{severity} {pathology}" if severity else pathology
    known = learned.get(pathology) or knowledge.explanation(pathology)
    return {
        "name": name,
        "template": BENCHMARK_TEMPLATE.format(pathology=name),
        "explanation": label_text(pathology, None, severity, knowledge) if severity else known,
        "label": label_text(pathology, None, severity, injected),
    }
