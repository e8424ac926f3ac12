"""Open-i's chest X-ray collection of Indiana University: XML reports and their images, frontal and lateral.

The files do not say which image is which view, so all of a report's images are kept. They name no patient either: a
report stands for one, and reports are split by the hash rule. Words removed for privacy (XXXX) stay in the text, where
the section rules read them as words of no meaning.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import polars as pl
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from pipeline.corpora.base import Corpus, count_kept
from pipeline.errors import DatasetError
from pipeline.label_files import SHOWN, Source, check_folder, list_files
from pipeline.splits import describe_rule, hash_split
from pipeline.triplets.sections import select_sections

REPORTS = "ecgen-radiology"
SOURCE = Source(
    name="Open-i (Indiana University)",
    folder="openi",
    label_files=(REPORTS,),
    licence="CC BY-NC-ND 4.0",
    access="https://openi.nlm.nih.gov/faq#collection",
)
FRACTIONS = {"train": 0.8, "validate": 0.1, "test": 0.1}
SECTIONS = ("FINDINGS", "IMPRESSION")  # the others (INDICATION, COMPARISON) are never read
MAX_BYTES = 1_000_000  # of a report; the published ones have a few thousand


def read(root: Path, *, labels: str, views: Sequence[str], sections: Sequence[str], seed: int) -> Corpus:
    """Read the corpus tables.

    Args:
        root: holds the reports and, anywhere below, the images as PNG or DICOM; an image in both is read as PNG.
        labels: the name of the folder of reports, <n>.xml.
        views: must name none.
        sections: wanted sections of the report, out of findings and impression.
        seed: of the hash rule that splits the reports.

    Raises:
        DatasetError: a folder is missing, a report is not as published, or nothing remains.
    """
    check_folder(root, SOURCE.name)
    if views:
        raise DatasetError(f"{SOURCE.name} gives no view of its images: set corpus.views to [].")
    reports, listed = _read_reports(root, labels)
    present = listed.join(_list_images(root), on="key", how="inner", maintain_order="left")
    selected = [select_sections(text, sections) for text in reports["text"]]
    columns = pl.DataFrame(selected, schema={"report": pl.String, "sections": pl.String}, orient="row")
    written = reports.hstack(columns).filter(pl.col("report") != "")
    pictured = written.join(present, on="study_id", how="semi").sort("study_id")
    studies = pictured.with_columns(hash_split(pictured["study_id"], seed, FRACTIONS), patient_id="study_id")
    unknown = {"view": pl.lit(None, pl.String), "sex": pl.lit(None, pl.String), "age": pl.lit(None, pl.Float32)}
    images = present.join(studies.select("study_id", "patient_id", "split"), on="study_id").with_columns(**unknown)
    counts = {
        "reports_published": reports.height,
        "reports_without_section": reports.height - written.height,
        "reports_without_image": written.height - pictured.height,
        "images_published": listed.height,
        "images_missing": listed.height - present.height,
    } | count_kept(studies, images)
    if studies.is_empty():
        raise DatasetError(
            f"{root} holds no image of a report: {counts['images_missing']} images are missing; unpack them there."
        )
    return Corpus(studies, images.sort("image_id"), counts, describe_rule(seed, FRACTIONS))


def _read_reports(root: Path, folder: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Reports (study_id, text), and their images: study_id, image_id, and key, which its file's name holds."""
    files = list_files(root, [folder], (".xml",))
    if files.is_empty():
        raise DatasetError(f"{root / folder} holds no XML reports: unpack those of {SOURCE.name} there.")
    reports, images = [], []
    for path in files["path"]:
        study, tree = Path(path).stem, _parse(root / path)
        reports.append((study, _text(tree.iter("AbstractText"))))
        images += [(path, study, image.get("id", "").strip()) for image in tree.iter("parentImage")]
    listed = pl.DataFrame(images, schema=dict.fromkeys(("file", "study_id", "image_id"), pl.String), orient="row")
    repeated = listed.filter((pl.col("image_id") == "") | ~pl.col("image_id").is_first_distinct())
    if repeated.height:
        file, _, image = repeated.row(0)
        raise DatasetError(
            f"{root / file}: parentImage has the id {image[:SHOWN]!r} instead of one that occurs once: "
            f"restore the file as published."
        )
    texts = pl.DataFrame(reports, schema={"study_id": pl.String, "text": pl.String}, orient="row")
    return texts, listed.with_columns(key=_key(pl.col("image_id")))


def _parse(path: Path) -> Element:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DatasetError(f"{path} has more than {MAX_BYTES:,} bytes, which no report has: fetch it again.")
        root: Element = fromstring(path.read_text("utf-8-sig"), forbid_dtd=True)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): mend its permissions.") from error
    except ParseError as error:
        line = error.position[0]
        raise DatasetError(f"{path}, line {line}: it is no well-formed XML: fetch the file again.") from error
    except (DefusedXmlException, ValueError) as error:
        raise DatasetError(
            f"{path} is not UTF-8 text, or declares a document type, which no report does: fetch the file again."
        ) from error
    return root


def _text(sections: Iterable[Element]) -> str:
    """A report as text with headings."""
    texts = {section.get("Label"): "".join(section.itertext()).strip() for section in sections}
    return "\n\n".join(f"{label}: {texts[label]}" for label in SECTIONS if texts.get(label))


def _list_images(root: Path) -> pl.DataFrame:
    """key, path and bytes of every image file, the PNG where there is a DICOM file too."""
    files = list_files(root, [""], (".png", ".dcm"))
    keyed = files.select("path", "bytes", key=_key(pl.col("name").str.replace(r"(?i)(\.png|\.dcm)+$", "")))
    dicom = pl.col("path").str.to_lowercase().str.ends_with(".dcm")
    return keyed.sort(dicom, "path").unique("key", keep="first", maintain_order=True)


def _key(name: pl.Expr) -> pl.Expr:
    """What a name in the reports and a file's have in common: of CXR1_1_IM-0001-3001 it is 1_IM-0001-3001."""
    return name.str.replace(r"^(?:CXR)?(\d+)_(?:\d+_)?(IM-.*)$", "${1}_$2")
