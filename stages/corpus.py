"""Read the pre-training corpus into its two tables."""

from pathlib import Path

from pipeline.corpora import CORPORA
from pipeline.schemas import IMAGES, STUDIES, write_table
from stages.common import run, stage_params, write_metrics

OUT = Path("data/corpus")


def main() -> None:
    params = stage_params("seed", "data", "corpus")
    chosen = params.corpus
    corpus = CORPORA[chosen.name].read(
        Path(params.data.root) / chosen.folder,
        labels=chosen.labels,
        views=chosen.views,
        sections=chosen.sections,
        seed=params.seed,
    )
    write_table(corpus.studies, OUT / "studies.parquet", STUDIES)
    write_table(corpus.images, OUT / "images.parquet", IMAGES)
    write_metrics(Path("reports/corpus.json"), corpus.counts)


if __name__ == "__main__":
    run(main)
