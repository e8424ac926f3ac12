"""Plain-language explanations of what pathologies look like, with sources and visual attributes.

The texts live in `explanations.yaml`, which anyone can read and extend; this module loads and checks it and holds no
text of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import ParamsError
from pipeline.schemas import SEVERITIES

_EXPLANATIONS_FILE = Path(__file__).with_name("explanations.yaml")
_Phrase = Annotated[str, Field(min_length=1)]


class Explanation(BaseModel):
    """How one pathology looks on a frontal radiograph and what it means.

    Attributes:
        text: one to three sentences, the pathology's prompt.
        sources: keys of `Knowledge.sources`.
        shape: visual attribute, a few words; likewise density, border and place.
        severity: what changes with how severe it is, where that can be said of this pathology.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: _Phrase
    sources: tuple[str, ...] = Field(min_length=1)
    shape: _Phrase
    density: _Phrase
    border: _Phrase
    place: _Phrase
    severity: dict[str, _Phrase] = {}

    @property
    def attributes(self) -> str:
        """The visual attributes as one phrase."""
        return f"{self.shape}, {self.density}, {self.border}, {self.place}"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sources: dict[str, str]
    severity: dict[str, _Phrase]
    explanations: dict[str, Explanation]


@dataclass(frozen=True)
class Knowledge:
    """Explanations by canonical pathology name, the references they rest on, and what a severity means in general."""

    path: Path
    explanations: Mapping[str, Explanation]
    sources: Mapping[str, str]
    severity: Mapping[str, str]

    def explanation(self, pathology: str) -> str:
        """The explanation of a pathology.

        Raises:
            ParamsError: the file has none for this name.
        """
        return self.entry(pathology).text

    def severity_wording(self, pathology: str, severity: str) -> str:
        """How a pathology looks when it is so severe: in its own words, or in those for any pathology.

        Raises:
            ParamsError: the file does not explain the pathology, or the severity is none of `SEVERITIES`.
        """
        if severity not in self.severity:
            raise ParamsError(f"Severity {severity!r} of {pathology!r} is unknown: use one of {', '.join(SEVERITIES)}.")
        return self.entry(pathology).severity.get(severity, self.severity[severity])

    def entry(self, pathology: str) -> Explanation:
        """All that is known of a pathology.

        Raises:
            ParamsError: the file does not explain it.
        """
        if pathology not in self.explanations:
            raise ParamsError(
                f"{self.path.name} explains no pathology {pathology!r}: add an entry of that name with text, sources, "
                "shape, density, border and place."
            )
        return self.explanations[pathology]

    def descriptions(self, pathologies: Sequence[str]) -> list[tuple[str, str, str]]:
        """Texts that mean the same: explanation, name and visual attributes of each pathology that has an entry."""
        entries = [(name, self.explanations[name]) for name in pathologies if name in self.explanations]
        return [(entry.text, name, entry.attributes) for name, entry in entries]


def load_knowledge(path: Path = _EXPLANATIONS_FILE) -> Knowledge:
    """Read and check a file of explanations.

    Raises:
        ParamsError: the file is missing or no YAML, an entry lacks a field or cites a source that is not listed, or a
            severity has no general wording.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        file = _File.model_validate(raw)
    except (OSError, yaml.YAMLError) as error:
        raise ParamsError(f"The explanations {path} cannot be read ({error}): mend or restore the file.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ParamsError(f"The explanations {path} are wrong at {where} ({first['msg']}): mend the entry.") from error
    _check_sources(file, path)
    _check_severities(file, path)
    return Knowledge(path, file.explanations, file.sources, file.severity)


def _check_sources(file: _File, path: Path) -> None:
    for name, entry in file.explanations.items():
        for source in entry.sources:
            if source not in file.sources:
                raise ParamsError(
                    f"The explanations {path} cite {source!r} for {name!r}, which is not in their table of sources: "
                    "add the reference there or correct the key."
                )


def _check_severities(file: _File, path: Path) -> None:
    if missing := [name for name in SEVERITIES if name not in file.severity]:
        raise ParamsError(f"The explanations {path} have no general wording of severity {missing[0]!r}: add it.")
    named = [("in general", file.severity), *((f"of {name!r}", e.severity) for name, e in file.explanations.items())]
    for where, wordings in named:
        if unknown := [name for name in wordings if name not in SEVERITIES]:
            raise ParamsError(
                f"The explanations {path} word the severity {unknown[0]!r} {where}: use {', '.join(SEVERITIES)}."
            )
