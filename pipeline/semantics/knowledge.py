"""Plain-language explanations of what pathologies look like, with sources and visual attributes.

The texts live in `explanations.yaml`, which anyone can read and extend; this module loads and checks it and holds no
text of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import ParamsError

_EXPLANATIONS_FILE = Path(__file__).with_name("explanations.yaml")


class Explanation(BaseModel):
    """How one pathology looks on a frontal radiograph and what it means.

    Attributes:
        text: one to three sentences, the pathology's prompt.
        sources: keys of `Knowledge.sources`.
        shape: visual attribute, a few words; likewise density, border and place.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1)
    sources: tuple[str, ...] = Field(min_length=1)
    shape: str = Field(min_length=1)
    density: str = Field(min_length=1)
    border: str = Field(min_length=1)
    place: str = Field(min_length=1)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sources: dict[str, str]
    explanations: dict[str, Explanation]


@dataclass(frozen=True)
class Knowledge:
    """Explanations by canonical pathology name, and the references they rest on."""

    path: Path
    explanations: Mapping[str, Explanation]
    sources: Mapping[str, str]

    def explanation(self, pathology: str) -> str:
        """The explanation of a pathology.

        Raises:
            ParamsError: the file has none for this name.
        """
        if pathology not in self.explanations:
            raise ParamsError(
                f"{self.path.name} explains no pathology {pathology!r}: add an entry of that name with text, sources, "
                "shape, density, border and place."
            )
        return self.explanations[pathology].text

    def descriptions(self, pathologies: Sequence[str]) -> list[tuple[str, str, str]]:
        """Texts that mean the same: explanation, name and visual attributes of each pathology that has an entry."""
        entries = [(name, self.explanations[name]) for name in pathologies if name in self.explanations]
        return [
            (entry.text, name, f"{entry.shape}, {entry.density}, {entry.border}, {entry.place}")
            for name, entry in entries
        ]


def load_knowledge(path: Path = _EXPLANATIONS_FILE) -> Knowledge:
    """Read and check a file of explanations.

    Raises:
        ParamsError: the file is missing or no YAML, an entry lacks a field, or cites a source that is not listed.
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
    return Knowledge(path, file.explanations, file.sources)


def _check_sources(file: _File, path: Path) -> None:
    for name, entry in file.explanations.items():
        for source in entry.sources:
            if source not in file.sources:
                raise ParamsError(
                    f"The explanations {path} cite {source!r} for {name!r}, which is not in their table of sources: "
                    "add the reference there or correct the key."
                )
