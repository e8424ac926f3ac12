"""Build the sparse existence matrices of all studies."""

from pathlib import Path

from pipeline.schemas import EXISTENCE, QUERY_SETS, TRIPLETS, read_table, write_table
from pipeline.semantics.existence import build_existence
from stages.common import run, write_metrics


def main() -> None:
    existence, counts = build_existence(
        read_table(Path("data/triplets.parquet"), TRIPLETS),
        read_table(Path("data/query_sets.parquet"), QUERY_SETS),
    )
    write_table(existence, Path("data/existence.parquet"), EXISTENCE)
    write_metrics(Path("reports/existence.json"), counts)


if __name__ == "__main__":
    run(main)
