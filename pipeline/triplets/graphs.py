"""The `graphs` source: RadGraph's published annotations of MIMIC-CXR, streamed from their one JSON file.

The file is never whole in memory: annotations pass one by one as JSON text, which the workers parse. What they mean is
the matter of `radgraph_rules`.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import orjson

from pipeline.errors import DatasetError, ParamsError
from pipeline.triplets.lexicon import load_lexicon
from pipeline.triplets.radgraph_reading import COUNTS
from pipeline.triplets.radgraph_rules import GraphRules
from pipeline.triplets.shards import Item, collector_paused
from pipeline.triplets.triplet import Triplet

_CHUNK = 1 << 22  # bytes read at a time
_LONGEST = 1 << 26  # characters of one annotation; what is longer has lost its end
_CUT_SHORT = 16  # characters before the end of what is read where an error may only mean that more is to come
_SPACE = re.compile(r"[ \t\n\r]*")
_PUBLISHED = re.compile(r"(?:.*/)?s(\d+)\.txt")


def study_of(key: str) -> str:
    """The study_id that a key means: "p18/p18004941/s58821758.txt" is 58821758; any other key is the id itself."""
    match = _PUBLISHED.fullmatch(key)
    return match[1] if match else key


def annotated_reports(path: Path, reports: Mapping[str, str], counts: Counter[str]) -> Iterator[Item]:
    """The reports that have an annotation, in the file's order.

    Args:
        path: the file of annotations.
        reports: study_id -> text.
        counts: gets `annotations`, `annotations_without_study` and, at the end, `studies_without_annotation`.

    Raises:
        DatasetError: the file is no JSON object, names a study twice, or has none of the studies.
    """
    seen: set[str] = set()
    for key, annotation in read_annotations(path):
        study_id = study_of(key)
        if study_id in seen:
            raise DatasetError(f"{path} has two annotations of study {study_id}, the second at {key!r}: keep one.")
        seen.add(study_id)
        if study_id in reports:
            yield Item(study_id, reports[study_id], key, annotation)
    found = len(seen & reports.keys())
    if reports and not found:
        raise DatasetError(
            f"{path} has {len(seen)} annotations and none of the corpus's {len(reports)} studies: set "
            "extraction.graphs to the file published for this corpus, with keys like p18/p18004941/s58821758.txt."
        )
    counts["annotations"] += len(seen)
    counts["annotations_without_study"] += len(seen) - found
    counts["studies_without_annotation"] += len(reports) - found


def read_annotations(path: Path) -> Iterator[tuple[str, str]]:
    """Keys and values (as JSON text) of a file that holds one JSON object, in its order.

    Raises:
        DatasetError: the file is missing or breaks off JSON; names the byte, and the key before it.
    """
    try:
        stream = _Stream(path)
    except OSError as error:
        raise ParamsError(
            f"extraction.graphs is {path}, which cannot be read ({error.strerror}): set it to MIMIC-CXR_graphs.json."
        ) from error
    with stream:
        stream.expect("{")
        if stream.peek() == "}":
            stream.expect("}")
        else:
            while True:
                key, _ = stream.value()
                if not isinstance(key, str):
                    stream.fail("a key that is no text")
                stream.expect(":")
                stream.key, text = key, stream.value()[1]
                yield key, text
                if stream.expect(",}") == "}":
                    break
        if stream.peek():
            stream.fail("more after the object's end")


class _Stream:
    """JSON values from a file, one after the other, with a buffer of a few of them. A context manager."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._path = path
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._scan = json.JSONDecoder().raw_decode
        self._buffer, self._at, self._ended = "", 0, False
        self._passed = 0  # bytes before the buffer
        self.key = ""  # read last

    def peek(self) -> str:
        """The next character that is no space, "" at the end."""
        while True:
            self._at = _SPACE.match(self._buffer, self._at).end()  # type: ignore[union-attr]  # it matches nothing too
            if self._at < len(self._buffer) or not self._more():
                return self._buffer[self._at : self._at + 1]

    def expect(self, characters: str) -> str:
        """Pass one of some characters."""
        found = self.peek()
        if not found or found not in characters:
            self.fail(f"no {' or '.join(characters)}")
        self._at += 1
        return found

    def value(self) -> tuple[Any, str]:
        """Pass a value: what it is, and its text."""
        self.peek()
        while True:
            try:
                value, end = self._scan(self._buffer, self._at)
            except json.JSONDecodeError as error:
                broken = error.pos < len(self._buffer) - _CUT_SHORT and not error.msg.startswith("Unterminated string")
                if broken or len(self._buffer) - self._at > _LONGEST or not self._more():
                    self._at = error.pos if broken else self._at
                    self.fail(error.msg[0].lower() + error.msg[1:])
            except (RecursionError, ValueError):
                self.fail("a value too deep or a number too long")
            else:
                text = self._buffer[self._at : end]
                self._at = end
                return value, text

    def _more(self) -> bool:
        """Read on; False at the file's end."""
        chunk = self._file.read(_CHUNK)
        self._passed += len(self._buffer[: self._at].encode())
        self._buffer, self._at = self._buffer[self._at :], 0
        try:
            self._buffer += self._decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            self._at = len(self._buffer)
            self.fail("no UTF-8", error.start)
        return bool(chunk)

    def fail(self, problem: str, beyond: int = 0) -> NoReturn:
        """Raise what is wrong at the next character, or some bytes beyond it."""
        byte = self._passed + len(self._buffer[: self._at].encode()) + beyond
        after = f"after the annotation {self.key!r}" if self.key else "before the first annotation"
        raise DatasetError(
            f"{self._path} is broken at byte {byte}, {after} ({problem}): mend it or fetch it again and run "
            "again; finished shards are kept."
        )

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class GraphsReader:
    """Reads annotations of a file in one worker."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rules = GraphRules(load_lexicon())

    def read(self, items: Sequence[Item]) -> tuple[list[tuple[str, Triplet]], dict[str, int]]:
        """The triplets of some reports by their annotations, and `GraphRules.counts` of these.

        Raises:
            DatasetError: an annotation is not as published; names file, key and entity.
        """
        self._rules.counts.clear()
        with collector_paused():
            found = [(item.study_id, triplet) for item in items for triplet in self._triplets(item)]
        return found, {name: self._rules.counts[name] for name in COUNTS}

    def _triplets(self, item: Item) -> list[Triplet]:
        try:
            return self._rules.read(orjson.loads(item.annotation), item.text)
        except orjson.JSONDecodeError as error:  # of what no report should hold: NaN, half a character
            raise DatasetError(f"{self._path}, key {item.key!r}: {error.msg}: fetch the file again.") from error
        except DatasetError as error:
            raise DatasetError(f"{self._path}, key {item.key!r}: {error}") from error
