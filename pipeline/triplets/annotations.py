"""RadGraph's published format of one report's annotation, checked: entities, their labels and relations.

What they mean as triplets is the matter of `radgraph_rules`; files of annotations that of `graphs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pipeline.errors import DatasetError
from pipeline.schemas import ABSENT, PRESENT, UNCERTAIN

LOCATED_AT, MODIFY, SUGGESTIVE_OF = RELATIONS = ("located_at", "modify", "suggestive_of")


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """What an entity is. A measurement ("4 cm") says how large or how far something is, and finds nothing.

    There is one object of each, quick to look up.
    """

    observation: bool  # else an anatomy
    existence: str
    measurement: bool = False


class Entity(NamedTuple):
    """Some tokens of a report and what they are; `last` is included."""

    label: Label
    first: int
    last: int
    relations: tuple[tuple[str, str], ...]  # the relation and the id of its target


class Annotation(NamedTuple):
    """A report's tokens and the entities in them, by id."""

    tokens: list[str]
    entities: dict[str, Entity]


def _labels() -> dict[str, Label]:
    """Every label in RadGraph's own spelling and in RadGraph-XL's."""
    labels: dict[str, Label] = {}
    for kind, short in (("Observation", "OBS"), ("Anatomy", "ANAT")):
        for existence, words, letters in (
            (PRESENT, "definitely present", "DP"),
            (ABSENT, "definitely absent", "DA"),
            (UNCERTAIN, "uncertain", "U"),
        ):
            label = Label(kind == "Observation", existence)
            labels |= {f"{short}-{letters}": label, f"{kind}::{words}": label}
            labels[f"{kind}::measurement::{words}"] = replace(label, measurement=True)
    return labels


_LABELS = _labels()


def parse_annotation(annotation: Mapping[str, Any]) -> Annotation:
    """Check an annotation as published: {"text": tokens joined by single spaces, "entities": {"1": {...}, ...}}.

    Raises:
        DatasetError: a part is missing or of another kind, a label or relation is unknown, or an id or token does not
            exist; the message names the entity and the caller puts the file and the report's key before it.
    """
    try:
        tokens: list[str] = annotation["text"].split(" ")
        entities = {name: _entity(name, entity) for name, entity in annotation["entities"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"the annotation lacks text or entities ({error}): fetch it again.") from error
    for name, (_, first, last, relations) in entities.items():
        if not 0 <= first <= last < len(tokens):
            raise DatasetError(f"entity {name} has the tokens {first} to {last} of {len(tokens)}: fetch it again.")
        for _, target in relations:
            if target not in entities:
                raise DatasetError(f"entity {name} has a relation to {target}, which does not exist: fetch it again.")
    return Annotation(tokens, entities)


def _entity(name: str, entity: Mapping[str, Any]) -> Entity:
    try:
        label, first, last, pairs = entity["label"], entity["start_ix"], entity["end_ix"], entity["relations"]
        relations = tuple([(relation, str(target)) for relation, target in pairs]) if pairs else ()
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"entity {name} lacks label, start_ix, end_ix or relations ({error}): fetch it again."
        ) from error
    if label not in _LABELS:
        raise DatasetError(f"entity {name} has the label {label!r}: use one of {', '.join(_LABELS)}.")
    for relation, _ in relations:
        if relation not in RELATIONS:
            raise DatasetError(f"entity {name} has the relation {relation!r}: use one of {', '.join(RELATIONS)}.")
    if not (type(first) is int and type(last) is int):
        raise DatasetError(f"entity {name} has no whole numbers for start_ix and end_ix: fetch it again.")
    return tuple.__new__(Entity, (_LABELS[label], first, last, relations))  # thrice as fast as Entity(...)
