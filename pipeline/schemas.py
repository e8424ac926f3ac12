"""The files that pass between stages: declared once here, checked on every read and write.

Each schema is a pyarrow schema; a field marked non-nullable holds no nulls. Writing sorts nothing
and adds nothing: the same rows give the same bytes.
"""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import TableError


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


STUDIES = pa.schema([
    _required("study_id", pa.string()),
    _required("patient_id", pa.string()),
    _required("split", pa.string()),  # train | validate | test
    _required("report", pa.string()),  # the selected sections' text
    _required("sections", pa.string()),  # which sections were used, joined by "+"
])  # fmt: skip

IMAGES = pa.schema([
    _required("image_id", pa.string()),
    _required("study_id", pa.string()),  # equals image_id where a dataset has no studies
    _required("patient_id", pa.string()),
    _required("split", pa.string()),
    _required("path", pa.string()),  # relative to the dataset's folder
    _required("bytes", pa.int64()),
    pa.field("view", pa.string()),  # PA | AP | ..., null when unknown
    pa.field("sex", pa.string()),  # F | M
    pa.field("age", pa.float32()),  # years
])  # fmt: skip

SPLITS = pa.schema([
    _required("patient_id", pa.string()),
    _required("split", pa.string()),
    _required("rule", pa.string()),  # the published list, or the hash rule with its seed
])  # fmt: skip

LABELS = pa.schema([
    _required("image_id", pa.string()),
    _required("finding", pa.string()),
    _required("label", pa.int8()),  # 1 present, 0 absent
    pa.field("severity", pa.string()),  # subtle | mild | moderate | severe, phantoms only
])  # fmt: skip

BOXES = pa.schema([
    _required("image_id", pa.string()),
    _required("finding", pa.string()),
    _required("x", pa.float32()),  # left, pixels of the image as stored
    _required("y", pa.float32()),  # top
    _required("width", pa.float32()),
    _required("height", pa.float32()),
])  # fmt: skip

MASKS = pa.schema([
    _required("image_id", pa.string()),
    _required("finding", pa.string()),
    _required("height", pa.int32()),
    _required("width", pa.int32()),
    # (start, length) runs over the pixels numbered column by column from 0, flattened
    _required("runs", pa.list_(pa.int32())),
])  # fmt: skip

IMAGE_INDEX = pa.schema([
    _required("image_id", pa.string()),
    _required("shard", pa.int32()),
    _required("row", pa.int32()),
    _required("width", pa.int32()),  # of the image as stored, pixels
    _required("height", pa.int32()),
])  # fmt: skip

BROKEN_IMAGES = pa.schema([
    _required("image_id", pa.string()),
    _required("path", pa.string()),
    _required("reason", pa.string()),
])  # fmt: skip

PRESENT, ABSENT, UNCERTAIN = "present", "absent", "uncertain"
SEVERITIES = ("subtle", "mild", "moderate", "severe")

TRIPLETS = pa.schema([
    _required("study_id", pa.string()),
    _required("sentence", pa.int32()),  # index of the sentence in the report
    _required("pathology", pa.string()),  # canonical name
    _required("anatomy", pa.string()),  # canonical name, "unspecified" when none is named or implied
    _required("existence", pa.string()),  # PRESENT | ABSENT | UNCERTAIN
    pa.field("severity", pa.string()),  # subtle | mild | moderate | severe
    _required("start", pa.int32()),  # character span of the pathology mention in the report
    _required("end", pa.int32()),
])  # fmt: skip

QUERY_SETS = pa.schema([
    _required("kind", pa.string()),  # pathology | anatomy
    _required("index", pa.int32()),  # row or column of the existence matrix
    _required("name", pa.string()),
    _required("count", pa.int64()),  # triplets of the training split
    _required("prompt", pa.string()),
])  # fmt: skip

EXISTENCE = pa.schema([
    _required("study_id", pa.string()),
    _required("anatomy", pa.int16()),
    _required("pathology", pa.int16()),
    _required("value", pa.int8()),  # 1 present, 0 absent, 2 uncertain; not mentioned is no row
])  # fmt: skip

LABEL_TEXTS = pa.schema([
    _required("index", pa.int32()),  # the categories alone come first
    pa.field("category", pa.string()),  # null where the text is a whole report
    pa.field("location", pa.string()),
    pa.field("severity", pa.string()),
    _required("plain", pa.int32()),  # index of the category alone
    _required("mirror", pa.int32()),  # index of the label with left and right exchanged
    _required("text", pa.string()),
])  # fmt: skip

STUDY_LABELS = pa.schema([
    _required("study_id", pa.string()),
    _required("label", pa.int32()),  # of LABEL_TEXTS
    _required("state", pa.string()),  # PRESENT | UNCERTAIN
])  # fmt: skip

FINDINGS = pa.schema([
    _required("study_id", pa.string()),
    _required("category", pa.int32()),  # of LABEL_TEXTS
    _required("state", pa.string()),  # PRESENT | ABSENT | UNCERTAIN; not mentioned is no row
])  # fmt: skip

PROMPTS = pa.schema([
    _required("group", pa.string()),  # pathology | anatomy | a benchmark's name
    _required("style", pa.string()),  # name | template | explanation
    _required("index", pa.int32()),
    _required("name", pa.string()),
    _required("text", pa.string()),
])  # fmt: skip

SCORES = pa.schema([
    _required("image_id", pa.string()),
    _required("patient_id", pa.string()),
    _required("split", pa.string()),  # validate | test
    _required("finding", pa.string()),
    _required("label", pa.int8()),
    _required("score", pa.float32()),
    pa.field("severity", pa.string()),
])  # fmt: skip

RETRIEVAL = pa.schema([
    _required("image_id", pa.string()),
    _required("patient_id", pa.string()),
    _required("label", pa.string()),  # of the image's study
    _required("candidate", pa.string()),  # a label among those of all pairs; right where it equals the image's
    _required("score", pa.float32()),
])  # fmt: skip

GROUNDED = pa.schema([
    _required("image_id", pa.string()),
    _required("patient_id", pa.string()),
    _required("split", pa.string()),  # validate | test
    _required("finding", pa.string()),
    pa.field("severity", pa.string()),
    _required("pointing_game", pa.float64()),
    _required("iou", pa.float64()),
    _required("dice", pa.float64()),
])  # fmt: skip

SUBSETS = pa.schema([
    _required("subset", pa.int32()),  # of several draws, from 0
    _required("image_id", pa.string()),
    _required("patient_id", pa.string()),
    _required("percent", pa.int16()),  # 1 | 10 | 100: the smallest subset that holds the image; larger ones do too
])  # fmt: skip

FINETUNED_SCORES = pa.schema([
    _required("image_id", pa.string()),  # test images
    _required("patient_id", pa.string()),
    _required("finding", pa.string()),
    _required("label", pa.int8()),
    _required("init", pa.string()),  # pretrained | random | imagenet
    _required("percent", pa.int16()),
    _required("subset", pa.int32()),
    _required("score", pa.float32()),
])  # fmt: skip

DICE = pa.schema([
    _required("image_id", pa.string()),  # test images
    _required("patient_id", pa.string()),
    _required("positive", pa.bool_()),  # whether the image has a mask
    _required("init", pa.string()),
    _required("percent", pa.int16()),
    _required("subset", pa.int32()),
    _required("dice", pa.float64()),
])  # fmt: skip

POINTS = pa.schema([
    _required("stream", pa.string()),  # pathology | anatomy
    _required("query", pa.string()),
    _required("image_id", pa.string()),
    _required("x", pa.float64()),
    _required("y", pa.float64()),
])  # fmt: skip

FINDING_POINTS = pa.schema([
    _required("finding", pa.string()),
    _required("group", pa.string()),  # healthy | diseased
    _required("image_id", pa.string()),
    _required("x", pa.float64()),
    _required("y", pa.float64()),
])  # fmt: skip


def write_table(rows: pl.DataFrame, path: Path, schema: pa.Schema) -> None:
    """Write rows as Parquet under a declared schema.

    Raises:
        TableError: a column is missing, has another type, or holds nulls it may not hold.
    """
    table = _conform(rows.to_arrow(), path, schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")


def read_table(path: Path, schema: pa.Schema) -> pl.DataFrame:
    """Read a Parquet file and check it against a declared schema.

    Raises:
        TableError: the file is missing, is no Parquet, or breaks the schema.
    """
    if not path.is_file():
        raise TableError(f"{path} is missing: run `dvc repro` to build it, or `dvc pull` to fetch it.")
    try:
        frame = pl.from_arrow(_conform(pq.read_table(path), path, schema))
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, ValueError) as error:  # whatever damage makes of it
        raise TableError(f"{path} is not a readable Parquet file ({error}): delete it and run `dvc repro`.") from error
    assert isinstance(frame, pl.DataFrame)
    return frame


def _conform(table: pa.Table, path: Path, schema: pa.Schema) -> pa.Table:
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise TableError(f"{path} lacks the columns {', '.join(missing)}: another version wrote it; run `dvc repro`.")
    table = table.select(schema.names)
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            raise TableError(
                f"{path} has {table[field.name].null_count} empty values in column {field.name}, which may hold none."
            )
    return pa.table([_cast(table[field.name], path, field) for field in schema], schema=schema)


def _cast(column: pa.ChunkedArray, path: Path, field: pa.Field) -> pa.ChunkedArray:
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # their words quote the value, which may be a patient's
        raise TableError(
            f"{path} holds {column.type} in column {field.name} where {field.type} is expected, and not every value "
            "can be converted: another version wrote it; run `dvc repro`."
        ) from None
