from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.schemas import EXISTENCE, read_table, write_table
from pipeline.semantics.existence import build_existence, count_coverage
from pipeline.triplets.lexicon import load_lexicon

PATHOLOGIES = ["edema", "nodule"]
ANATOMIES = ["lung", "left lung", "heart", "other"]
QUERY_SETS = pl.DataFrame(
    [("pathology", index, name) for index, name in enumerate(PATHOLOGIES)]
    + [("anatomy", index, name) for index, name in enumerate(ANATOMIES)],
    schema=["kind", "index", "name"],
    orient="row",
)
Row = tuple[str, str, str, str]
triplets = st.lists(
    st.tuples(
        st.sampled_from(["s1", "s2", "s10"]),
        st.sampled_from([*PATHOLOGIES, "mass"]),
        st.sampled_from(["lung", "left lung", "left lung base", "right lung", "heart", "aorta", "unspecified", "toe"]),
        st.sampled_from(["present", "absent", "uncertain"]),
    )
)


def table(rows: list[Row]) -> pl.DataFrame:
    names = ("study_id", "pathology", "anatomy", "existence")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def row_of(anatomy: str) -> int:
    here: str | None = anatomy
    while here is not None and here not in ANATOMIES:
        here = load_lexicon().anatomies[here].parent if here in load_lexicon().anatomies else None
    return ANATOMIES.index(here or "other")


def slow_existence(rows: list[Row]) -> dict[tuple[str, int, int], int]:
    said: dict[tuple[str, int, int], set[str]] = {}
    for study, pathology, anatomy, existence in rows:
        if pathology in PATHOLOGIES:
            said.setdefault((study, row_of(anatomy), PATHOLOGIES.index(pathology)), set()).add(existence)
    return {pair: 1 if "present" in all_ else 2 if "uncertain" in all_ else 0 for pair, all_ in said.items()}


@settings(max_examples=100)
@given(triplets)
def test_one_value_per_pair_as_a_loop_would_say(rows: list[Row]) -> None:
    built = build_existence(table(rows), QUERY_SETS)
    expected = slow_existence(rows)
    assert [tuple(row) for row in built.rows()] == [(*pair, expected[pair]) for pair in sorted(expected)]


@settings(max_examples=50)
@given(triplets)
def test_coverage_counts_what_a_loop_would_count(rows: list[Row]) -> None:
    kept = [row for row in rows if row[1] in PATHOLOGIES]
    wider = [row for row in kept if row[2] not in ANATOMIES]
    other = [row for row in wider if row_of(row[2]) == ANATOMIES.index("other")]
    assert count_coverage(table(rows), QUERY_SETS) == {
        "triplets": len(rows),
        "dropped": len(rows) - len(kept),
        "to_parent_region": len(wider) - len(other),
        "to_other": len(other),
    }


def test_the_table_keeps_its_schema_even_when_empty(tmp_path: Path) -> None:
    for rows in ([], [("s", "edema", "lung", "present")]):
        found = build_existence(table(rows), QUERY_SETS)
        write_table(found, tmp_path / "existence.parquet", EXISTENCE)
        assert read_table(tmp_path / "existence.parquet", EXISTENCE).equals(found)
