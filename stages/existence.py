"""Build the sparse existence matrices of all studies."""

from pathlib import Path

from pipeline.schemas import EXISTENCE, QUERY_SETS, TRIPLETS, read_table, write_table
from pipeline.semantics.existence import build_existence, count_coverage
from stages.common import run, write_metrics


def main() -> None:
    triplets = read_table(Path("data/triplets.parquet"), TRIPLETS)
    query_sets = read_table(Path("data/query_sets.parquet"), QUERY_SETS)
    write_table(build_existence(triplets, query_sets), Path("data/existence.parquet"), EXISTENCE)
    write_metrics(Path("reports/existence.json"), count_coverage(triplets, query_sets))


if __name__ == "__main__":
    run(main)
