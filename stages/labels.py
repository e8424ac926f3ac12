"""Structured labels of every study, as text and as vectors of the frozen text encoder."""

from pathlib import Path

import torch
from torch.nn import functional as F

from pipeline.schemas import FINDINGS, LABEL_TEXTS, STUDIES, STUDY_LABELS, TRIPLETS, read_table, write_table
from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.structured_labels import structured_labels, whole_reports
from pipeline.semantics.text_encoder import load_encoder
from pipeline.semantics.vectors import write_vectors
from stages.common import run, stage_params
from stages.determinism import fix_torch
from stages.trained import LABEL_VECTORS, LABELS


def main() -> None:
    params = stage_params("seed", "threads", "labels", "knowledge")
    fix_torch(params)
    studies = read_table(Path("data/corpus/studies.parquet"), STUDIES)
    triplets = read_table(Path("data/triplets.parquet"), TRIPLETS)
    knowledge = load_knowledge() if params.knowledge.explanations else None
    found = structured_labels(triplets, studies, knowledge, params.labels.fine_grained, params.labels.min_ratio)
    if not params.labels.entities:
        found = whole_reports(found, studies)
    write_table(found.texts, LABELS / "texts.parquet", LABEL_TEXTS)
    write_table(found.studies, LABELS / "labels.parquet", STUDY_LABELS)
    write_table(found.findings, LABELS / "findings.parquet", FINDINGS)
    encoder = load_encoder("models/text_encoder", "cuda" if torch.cuda.is_available() else "cpu")
    vectors = encoder.encode(found.texts["text"].to_list(), "mean")
    write_vectors({"labels": F.normalize(vectors, dim=-1)}, LABEL_VECTORS)


if __name__ == "__main__":
    run(main)
