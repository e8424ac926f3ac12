"""Reading what a dataset publishes beside its images: tables, lists and the listing of its folders.

Types are declared by the caller and never guessed; what is not as published is a DatasetError with file, line and
remedy. What a column means is the readers' business, and images are never opened here.
"""

import csv
import gzip
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from pipeline.errors import DatasetError

DataType: TypeAlias = pl.DataType | type[pl.DataType]

MAX_DEPTH = 5  # folders below a dataset's root; a link that points upwards ends here
SHOWN = 40  # characters of an unexpected value that a message shows
QUOTING = (
    "restore the file as published, or mend that line: a value that holds commas, quotes or line breaks stands in "
    "double quotes, and each quote in it is doubled."
)
ESCAPED = re.compile("[\udc80-\udcff]")  # what `surrogateescape` makes of bytes that are not UTF-8
csv.field_size_limit(2**24)  # characters of a value: a report may have more than csv's own limit, a file no end


@dataclass(frozen=True)
class Source:
    """A dataset as its source publishes it.

    Attributes:
        name: how people call it.
        folder: its usual folder below data.root.
        label_files: what its reader reads beside images and reports, below that folder; `labels` renames the first.
        licence: under which its images may be used.
        access: where to ask for it.
    """

    name: str
    folder: str
    label_files: tuple[str, ...]
    licence: str
    access: str


def find_label_file(root: Path, name: str, dataset: str) -> Path:
    """A file in a dataset's folder.

    Args:
        root: the dataset's folder.
        name: the file's.
        dataset: how people call the dataset, for the message.

    Raises:
        DatasetError: the folder or the file is missing.
    """
    check_folder(root, dataset)
    if not (root / name).is_file():
        raise DatasetError(
            f"{root / name} is missing: put this file of {dataset} there as published, "
            f"or remove the dataset from params.yaml."
        )
    return root / name


def check_folder(root: Path, dataset: str) -> None:
    """See that a folder of a dataset is there.

    Raises:
        DatasetError: it is not.
    """
    if not root.is_dir():
        raise DatasetError(
            f"{root} is missing: put {dataset} there as unpacked, set data.root or the folder to where it is, "
            f"or remove the dataset from params.yaml."
        )


def read_csv(
    path: Path, columns: Mapping[str, DataType], optional: Mapping[str, DataType] | None = None
) -> pl.DataFrame:
    """Read named columns of a comma-separated file, plain or gzipped, under declared types.

    Values are stripped and empty ones are null. Header names are stripped, a byte order mark and empty fields at the
    end of header or rows (a trailing comma) are passed over.

    Args:
        path: the file.
        columns: the wanted columns and their types.
        optional: further columns, null where the file has none of that name.

    Returns:
        The wanted columns, and `line`: where in the file the row begins, counted from 1.

    Raises:
        DatasetError: a column is missing or occurs twice, a row has too few or too many fields, a value is not of the
            declared type, or the file is damaged.
    """
    records = _records(path)
    header = [name.strip() for name in next(records, (1, []))[1]]
    missing = [name for name in columns if name not in header]
    if missing:
        raise DatasetError(
            f"{path} lacks the column {missing[0]!r} in its first line, whose names are separated by commas: "
            f"restore the file as published, or name the column so."
        )
    extra = optional or {}
    for name in (*columns, *extra):
        if header.count(name) > 1:
            raise DatasetError(f"{path} has the column {name!r} twice in its first line: keep one of them.")
    columns = {**columns, **{name: kind for name, kind in extra.items() if name in header}}
    width = max(index for index, name in enumerate(header) if name) + 1
    pick = itemgetter(*(header.index(name) for name in columns))
    rows = []
    for line, record in records:
        if len(record) < width or any(record[width:]):
            raise DatasetError(f"{path}, line {line}: {len(record)} fields instead of {width}: {QUOTING}")
        rows.append((line, *pick(record)) if len(columns) > 1 else (line, pick(record)))
    text = pl.DataFrame(rows, schema={"line": pl.Int64, **dict.fromkeys(columns, pl.String)}, orient="row")
    absent = {name: pl.lit(None, kind) for name, kind in extra.items() if name not in columns}
    return _typed(text, path, columns).with_columns(**absent)


def read_lines(path: Path) -> pl.DataFrame:
    """Read a list with one entry a line: columns `line` (from 1) and `text` (stripped, empty lines left out).

    Raises:
        DatasetError: the file is not UTF-8 text, or cannot be read.
    """
    numbered = pl.DataFrame(list(enumerate(_lines(path), start=1)), {"line": pl.Int64, "text": pl.String}, orient="row")
    return numbered.with_columns(pl.col("text").str.strip_chars()).filter(pl.col("text") != "")


def require(rows: pl.DataFrame, path: Path, column: str, holds: pl.Expr, expected: str) -> None:
    """Check a condition on every row of a label file.

    Args:
        rows: as read, with `line`.
        path: the file they came from.
        column: whose value the message shows.
        holds: the condition; null counts as false.
        expected: what the value should have been, in words.

    Raises:
        DatasetError: names file, line, value and expectation of the first row that breaks it.
    """
    bad = rows.filter(~holds.fill_null(value=False))
    if bad.height:
        line, value = bad.select("line", column).row(0)
        raise unexpected(path, line, column, value, expected)


def unexpected(path: Path, line: int, column: str, value: object, expected: str) -> DatasetError:
    """The error for a value that is not as published."""
    shown = "empty" if value is None else repr(str(value)[:SHOWN])
    return DatasetError(
        f"{path}, line {line}: {column} is {shown} instead of {expected}: restore the file as published, "
        f"or mend that line."
    )


def list_files(root: Path, folders: Sequence[str], suffixes: Sequence[str]) -> pl.DataFrame:
    """List the files below some folders of a dataset without opening them.

    Args:
        root: the dataset's folder.
        folders: where to look, relative to root ("" is root itself); those that do not exist are passed over.
        suffixes: wanted endings in lower case, compared without regard to case. Names that begin with a dot, such as
            macOS's ._1.png, and links to nowhere are passed over.

    Returns:
        `path` relative to root with "/", `name`, `bytes`; sorted by path.

    Raises:
        DatasetError: a folder cannot be read.
    """
    endings = tuple(suffixes)
    found: list[tuple[str, str, int]] = []
    try:
        for folder in folders:
            if (root / folder).is_dir():
                _walk(str(root / folder), folder, endings, MAX_DEPTH, found)
    except OSError as error:
        raise DatasetError(f"{error.filename} cannot be listed ({error.strerror}): mend its permissions.") from error
    schema = {"path": pl.String, "name": pl.String, "bytes": pl.Int64}
    return pl.DataFrame(found, schema=schema, orient="row").sort("path")


def _walk(folder: str, relative: str, endings: tuple[str, ...], depth: int, found: list[tuple[str, str, int]]) -> None:
    """Add path, name and size of the wanted files; half a million of them should take seconds."""
    prefix = f"{relative}/" if relative else ""
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.name.startswith("."):
                continue
            if entry.name.lower().endswith(endings):
                with suppress(FileNotFoundError):
                    found.append((path, entry.name, entry.stat().st_size))
            elif depth and entry.is_dir():
                _walk(entry.path, path, endings, depth - 1, found)


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Every record that is not blank, with the line it begins on."""
    line = 1
    reader = csv.reader(_lines(path), strict=True)
    try:
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(f"{path}, line {line}, cannot be read ({error}): {QUOTING}") from error


def _lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, plain or gzipped, with their ends; the first that is no text is an error."""
    how: Mapping[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    try:
        with gzip.open(path, "rt", **how) if path.suffix == ".gz" else path.open(**how) as text:
            for number, line in enumerate(text, start=1):
                if not line.isascii() and ESCAPED.search(line):
                    raise DatasetError(
                        f"{path}, line {number}, is not UTF-8 text: fetch the file again, or save it as UTF-8."
                    )
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path} cannot be read ({error}): fetch the file again.") from error


def _typed(text: pl.DataFrame, path: Path, columns: Mapping[str, DataType]) -> pl.DataFrame:
    stripped = text.with_columns(pl.col(list(columns)).str.strip_chars().replace("", None))
    typed = stripped.with_columns(pl.col(name).cast(kind, strict=False) for name, kind in columns.items())
    for name, kind in columns.items():
        good = typed[name].is_not_null() | stripped[name].is_null()
        if typed[name].dtype.is_float():
            good &= typed[name].is_finite().fill_null(value=True)
        require(stripped.filter(~good), path, name, pl.lit(value=False), f"a value of type {kind}")
    return typed
