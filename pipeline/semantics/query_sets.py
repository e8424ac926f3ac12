"""Query sets: the pathologies and anatomies that a model is asked for, and the names each of them stands for.

A set comes from the training split's frequencies, from the released model's lists, or from a file of the user's or of
an imported model. Labels are made in `existence`, vectors in `prompts`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import polars as pl
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.errors import ParamsError, PipelineError
from pipeline.semantics.knowledge import Knowledge
from pipeline.triplets.lexicon import UNSPECIFIED, load_lexicon

KINDS = ("pathology", "anatomy")
OTHER = "other"  # the anatomy row for every place without a row of its own
ANATOMY_PROMPT = "It is located at {anatomy}."
AUTHORS_ANATOMY_PROMPT = "It is located at {anatomy}. "  # with the name as it stands in their list
_RELEASED_FILE = Path(__file__).with_name("released_queries.yaml")


_Prompt = Annotated[str, Field(min_length=1)]
_Queries = Mapping[str, str | None]  # names in their order, each with a prompt of its own or None


class _ReleasedQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    covers: tuple[str, ...] = ()
    prompt: str | None = None


class _UserSets(BaseModel):
    """Names in their order, or prompts by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pathology: tuple[str, ...] | dict[str, _Prompt]
    anatomy: tuple[str, ...] | dict[str, _Prompt]


@dataclass(frozen=True)
class QueryRows:
    """Where a triplet's names stand in the existence matrix.

    Attributes:
        pathology: canonical name -> column; a pathology outside the set has none.
        anatomy: canonical name -> row of itself, or of the nearest region that holds it.
        other: the row of every other place.
        exact: the canonical anatomies that have a row without going up to a parent region.
    """

    pathology: Mapping[str, int]
    anatomy: Mapping[str, int]
    other: int
    exact: frozenset[str]

    def locate(self) -> dict[str, pl.Expr]:
        """Columns `pathology` (null outside the set) and `anatomy` of a triplet table as indices, int16."""
        column = pl.col("pathology").replace_strict(self.pathology, default=None, return_dtype=pl.Int16)
        row = pl.col("anatomy").replace_strict(self.anatomy, default=self.other, return_dtype=pl.Int16)
        return {"pathology": column, "anatomy": row}


def build_query_sets(
    triplets: pl.DataFrame,
    studies: pl.DataFrame,
    knowledge: Knowledge,
    source: str = "frequency",
    pathologies: int = 75,
    anatomies: int = 50,
) -> pl.DataFrame:
    """Choose the queries and prompt them.

    Args:
        triplets: schema TRIPLETS; only those of the training split count.
        studies: schema STUDIES.
        knowledge: explains every pathology.
        source: `frequency` takes the most frequent names (ties by name), `released` the released model's lists,
            anything else is the path of a YAML file with `pathology` and `anatomy`, each a list of names or prompts by
            name.
        pathologies: how many, for `frequency`; fewer when the corpus names fewer.
        anatomies: how many besides the last row "other", for `frequency`.

    Returns:
        Schema QUERY_SETS: pathologies, then anatomies, each numbered from 0. `count` is of the training triplets that
        fall to the query.

    Raises:
        PipelineError: a set is empty.
        ParamsError: a pathology has no explanation, or the user's file is wrong.
    """
    train = triplets.join(studies.filter(pl.col("split") == "train"), on="study_id", how="semi")
    if source == "frequency":
        chosen: Mapping[str, _Queries] = {
            "pathology": dict.fromkeys(_most_frequent(train["pathology"], pathologies)),
            "anatomy": dict.fromkeys([*_most_frequent(train["anatomy"], anatomies), OTHER]),
        }
    else:
        chosen = _released_queries() if source == "released" else _user_queries(Path(source))
    _reject_empty(chosen, source)
    queries = pl.DataFrame(
        [(kind, index, name) for kind in KINDS for index, name in enumerate(chosen[kind])],
        schema={"kind": pl.String, "index": pl.Int32, "name": pl.String},
        orient="row",
    )
    prompts = _pathology_prompts(chosen["pathology"], knowledge) + _anatomy_prompts(chosen["anatomy"])
    return queries.with_columns(_counts(train, queries), pl.Series("prompt", prompts))


def authors_queries(explanations: Path) -> dict[str, dict[str, str]]:
    """The prompts of the authors' released model by kind and name, in the order of its prompt vectors.

    Args:
        explanations: the authors' JSON file that explains each of their pathologies, name -> text.

    Raises:
        ParamsError: the file is missing or not such a file, or explains too few; names them.
    """
    try:
        texts = TypeAdapter(dict[str, _Prompt]).validate_json(explanations.read_bytes())
    except (OSError, ValidationError) as error:
        raise ParamsError(
            f"{explanations} is no JSON file of explanations by pathology: give the authors' own file."
        ) from error
    names = {kind: list(queries) for kind, queries in _released().items()}
    if missing := [name for name in names["pathology"] if name not in texts]:
        raise ParamsError(f"{explanations} does not explain {', '.join(missing)}: give the authors' own file.")
    return {
        "pathology": {name: texts[name] for name in names["pathology"]},
        "anatomy": {name: AUTHORS_ANATOMY_PROMPT.format(anatomy=name) for name in names["anatomy"]},
    }


def pathology_prompts(query_sets: pl.DataFrame) -> dict[str, str]:
    """The prompt under which each canonical pathology of the query sets is learned."""
    queries = query_sets.filter(pl.col("kind") == "pathology").sort("index")
    return {name: queries["prompt"][row] for name, row in _covered("pathology", queries["name"].to_list()).items()}


def query_rows(query_sets: pl.DataFrame) -> QueryRows:
    """Which column and row of the existence matrix a triplet's names fall to.

    The released lists cover several names of the lexicon each; in other sets a query covers its own name. An anatomy
    without a row falls to the nearest parent region that has one.
    """
    pathology, anatomy = (_covered(kind, query_names(query_sets, kind)) for kind in KINDS)
    nearest = {name: _nearest(name, anatomy) for name in load_lexicon().anatomies}
    return QueryRows(
        pathology=pathology,
        anatomy={name: row for name, row in nearest.items() if row is not None},
        other=query_names(query_sets, "anatomy").index(OTHER),
        exact=frozenset(anatomy) - {OTHER},
    )


def query_names(query_sets: pl.DataFrame, kind: str) -> list[str]:
    """The names of one kind (`pathology` or `anatomy`) in the order of their index."""
    return query_sets.filter(pl.col("kind") == kind).sort("index")["name"].to_list()


def _most_frequent(names: pl.Series, limit: int) -> list[str]:
    counts = names.rename("name").to_frame().filter(pl.col("name") != UNSPECIFIED).group_by("name").len()
    return counts.sort("len", "name", descending=[True, False]).head(limit)["name"].to_list()


@cache
def _released() -> Mapping[str, Mapping[str, _ReleasedQuery]]:
    raw = yaml.load(_RELEASED_FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return {kind: {name: _ReleasedQuery(**entry) for name, entry in raw[kind].items()} for kind in KINDS}


def _released_queries() -> Mapping[str, _Queries]:
    return {kind: dict.fromkeys(_released()[kind]) for kind in KINDS}


def _user_queries(path: Path) -> Mapping[str, _Queries]:
    try:
        sets = _UserSets.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise ParamsError(
            f"query_sets.source {path} is no YAML file with the lists `pathology` and `anatomy`: "
            "give such a file, `frequency` or `released`."
        ) from error
    lexicon = load_lexicon()
    named = {"pathology": list(sets.pathology), "anatomy": [name for name in sets.anatomy if name != OTHER]}
    _reject_unknown(path, "pathology", named["pathology"], lexicon.pathologies)
    _reject_unknown(path, "anatomy", named["anatomy"], lexicon.anatomies)
    named["anatomy"].append(OTHER)
    prompts = {kind: dict(own) if isinstance(own := getattr(sets, kind), dict) else {} for kind in KINDS}
    return {kind: {name: prompts[kind].get(name) for name in named[kind]} for kind in KINDS}


def _reject_unknown(path: Path, kind: str, names: Sequence[str], known: Mapping[str, object]) -> None:
    released = list(_released()[kind])
    if list(names) == [name for name in released if name != OTHER]:
        return
    for name in names:
        if name not in known:
            raise ParamsError(
                f"{path} lists the {kind} {name!r}, which the lexicon does not name: correct it or add it there."
            )
        if names.count(name) > 1:
            raise ParamsError(f"{path} lists the {kind} {name!r} twice: keep one.")


def _reject_empty(chosen: Mapping[str, _Queries], source: str) -> None:
    for kind in KINDS:
        if not set(chosen[kind]) - {OTHER}:
            raise PipelineError(
                f"The {kind} query set is empty with query_sets.source {source!r}: the training split's reports gave "
                "no triplet with one; check corpus.sections and reports/triplets.json, or list the queries in a file."
            )


def _pathology_prompts(queries: _Queries, knowledge: Knowledge) -> list[str]:
    released = _released()["pathology"]
    if list(queries) != list(released):
        return [own or knowledge.explanation(name) for name, own in queries.items()]
    return [
        queries[name]
        or query.prompt
        or knowledge.explanation(name if name in knowledge.explanations else query.covers[0])
        for name, query in released.items()
    ]


def _anatomy_prompts(queries: _Queries) -> list[str]:
    return [own or ANATOMY_PROMPT.format(anatomy=name.replace("_", " ")) for name, own in queries.items()]


def _counts(train: pl.DataFrame, queries: pl.DataFrame) -> pl.Series:
    located = train.select(**query_rows(queries).locate())
    counts = [
        queries.filter(pl.col("kind") == kind)
        .with_columns(pl.col("index").cast(pl.Int16))
        .join(located.group_by(kind).len(), left_on="index", right_on=kind, how="left", maintain_order="left")["len"]
        for kind in KINDS
    ]
    return pl.concat(counts).fill_null(0).cast(pl.Int64).rename("count")


def _covered(kind: str, names: Sequence[str]) -> dict[str, int]:
    released = _released()[kind]
    if list(names) == list(released):
        return {name: row for row, query in enumerate(released.values()) for name in query.covers}
    return {name: row for row, name in enumerate(names)}


def _nearest(anatomy: str, rows: Mapping[str, int]) -> int | None:
    places = load_lexicon().anatomies
    here: str | None = anatomy
    while here is not None and here not in rows:
        here = places[here].parent
    return None if here is None else rows[here]
