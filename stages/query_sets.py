"""Choose the pathologies and anatomies to ask for, from the training split; an imported model brings its own."""

from pathlib import Path

from pipeline.params import Params
from pipeline.schemas import QUERY_SETS, STUDIES, TRIPLETS, read_table, write_table
from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.query_sets import build_query_sets
from stages.common import run, stage_params


def main() -> None:
    params = stage_params("query_sets", "model")
    query_sets = build_query_sets(
        read_table(Path("data/triplets.parquet"), TRIPLETS),
        read_table(Path("data/corpus/studies.parquet"), STUDIES),
        load_knowledge(),
        source=source(params),
        pathologies=params.query_sets.pathologies,
        anatomies=params.query_sets.anatomies,
    )
    write_table(query_sets, Path("data/query_sets.parquet"), QUERY_SETS)


def source(params: Params) -> str:
    if not params.model.imported:
        return params.query_sets.source
    from pipeline.imported import QUERIES, imported_folder  # torch takes seconds to import

    return str(imported_folder(params.model.imported) / QUERIES)


if __name__ == "__main__":
    run(main)
