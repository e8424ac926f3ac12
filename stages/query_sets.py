"""Choose the pathologies and anatomies to ask for, from the training split."""

from pathlib import Path

from pipeline.schemas import QUERY_SETS, STUDIES, TRIPLETS, read_table, write_table
from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.query_sets import build_query_sets
from stages.common import run, stage_params


def main() -> None:
    params = stage_params("query_sets")
    query_sets = build_query_sets(
        read_table(Path("data/triplets.parquet"), TRIPLETS),
        read_table(Path("data/corpus/studies.parquet"), STUDIES),
        load_knowledge(),
        source=params.query_sets.source,
        pathologies=params.query_sets.pathologies,
        anatomies=params.query_sets.anatomies,
    )
    write_table(query_sets, Path("data/query_sets.parquet"), QUERY_SETS)


if __name__ == "__main__":
    run(main)
