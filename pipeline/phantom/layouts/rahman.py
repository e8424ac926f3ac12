"""Writes phantoms as the COVID-19 Radiography Database: PNG images in a folder per class, and a list of the files.

Images are 299 px as published, or the phantoms' size where that is smaller; some are RGB. The list is a spreadsheet,
which the reader does not open.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import polars as pl

from pipeline.phantom.cohort import Visit
from pipeline.phantom.layouts.darkroom import Darkroom, Film, as_png
from pipeline.phantom.layouts.severity import severity_table

FOLDER = "covid19-radiography"
SIDE = 299  # pixels of a published image
COLOURED = 0.05
COLUMNS = ("FILE NAME", "FORMAT", "SIZE", "URL")
SOURCES = ("https://sirm.org/category/senza-categoria/covid-19/", "https://eurorad.org", "https://figshare.com")
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def write_rahman(
    root: Path, classes: Mapping[str, Sequence[Visit]], size: int, rng: np.random.Generator, darkroom: Darkroom
) -> pl.DataFrame:
    """Write the dataset; one image per patient.

    Args:
        root: its folder.
        classes: the studies of "COVID", "Lung_Opacity", "Normal" and "Viral Pneumonia".
        size: pixels of the images where fewer than 299.
        rng: of the quirks.
        darkroom: draws the images.

    Returns:
        The drawn severities (image_id = path below root, finding, severity).
    """
    cases = {
        f"{label}/images/{label}-{number}.png": visit.case
        for label, visits in classes.items()
        for number, visit in enumerate(visits, start=1)
    }
    side = min(size, SIDE)
    modes = ["RGB" if rng.random() < COLOURED else "L" for _ in cases]
    darkroom.develop([
        Film(root / path, case, side, as_png(mode)) for (path, case), mode in zip(cases.items(), modes, strict=True)
    ])  # fmt: skip
    listed = [Path(path).stem for path in cases if path.startswith("COVID/")]
    rows = [(name, "PNG", f"{side}*{side}", str(rng.choice(SOURCES))) for name in listed]
    (root / "COVID.metadata.xlsx").write_bytes(_workbook([COLUMNS, *rows]))
    return severity_table(cases.items())


def _workbook(rows: Sequence[Sequence[str]]) -> bytes:
    """The smallest Office Open XML workbook: one sheet of texts, none of which needs escaping."""
    cells = ["".join(f'<c t="inlineStr"><is><t>{text}</t></is></c>' for text in row) for row in rows]
    sheet = "".join(f"<row>{row}</row>" for row in cells)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_SHEET}.sheet.main+xml"/>'
        f'<Override PartName="/xl/sheet1.xml" ContentType="{_SHEET}.worksheet+xml"/></Types>',
        "_rels/.rels": _relationship("officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_DOCUMENT}">'
        '<sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _relationship("worksheet", "sheet1.xml"),
        "xl/sheet1.xml": f'<worksheet xmlns="{_MAIN}"><sheetData>{sheet}</sheetData></worksheet>',
    }
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            # an entry made by name would carry the hour
            archive.writestr(ZipInfo(name), f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return buffer.getvalue()


def _relationship(kind: str, target: str) -> str:
    return (
        f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_DOCUMENT}/{kind}" Target="{target}"/></Relationships>'
    )
