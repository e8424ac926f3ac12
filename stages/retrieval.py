"""Retrieval among image-text pairs of the corpus' test split, in both directions."""

from pathlib import Path

from pipeline.evaluation.results import write_results
from pipeline.evaluation.retrieval import choose_pairs, evaluate_retrieval
from pipeline.evaluation.scorer import Prompts, locate
from pipeline.images.shards import ImageShards
from pipeline.schemas import IMAGES, RETRIEVAL, TRIPLETS, read_table, write_table
from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.study_labels import study_labels
from pipeline.semantics.text_encoder import load_encoder
from stages.common import run, stage_params
from stages.determinism import fix_torch
from stages.scoring import load_scorer

OUT = Path("reports/retrieval/corpus.json")


def main() -> None:
    params = stage_params("seed", "threads", "evaluation", "text_encoder")
    fix_torch(params)
    shards = ImageShards(Path("data/images/corpus"))
    labels = study_labels(read_table(Path("data/triplets.parquet"), TRIPLETS), load_knowledge())
    images = locate(shards, read_table(Path("data/corpus/images.parquet"), IMAGES))
    pairs = choose_pairs(images, labels, params.seed)
    texts = tuple(pairs["text"].unique().sort())
    vectors = load_encoder("models/text_encoder").encode(texts, params.text_encoder.pooling)
    result = evaluate_retrieval(
        load_scorer(),
        shards,
        pairs,
        Prompts(texts, vectors),
        resamples=params.evaluation.resamples,
        seed=params.seed,
    )
    write_results(result.metrics, OUT)
    write_table(result.scores, OUT.with_suffix(".parquet"), RETRIEVAL)


if __name__ == "__main__":
    run(main)
