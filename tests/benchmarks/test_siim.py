from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from pipeline.benchmarks import BENCHMARKS, Benchmark
from pipeline.benchmarks.siim import decide_form
from pipeline.errors import DatasetError

HEIGHT, WIDTH = 12, 10


def runs_of(mask: np.ndarray) -> list[tuple[int, int]]:
    """Runs (start, length) over the pixels column by column; a slow obvious loop."""
    flat, runs = mask.T.ravel(), []
    for position, value in enumerate(flat):
        if value and (position == 0 or not flat[position - 1]):
            runs.append((position, 0))
        if value:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
    return runs


def relative_code(runs: list[tuple[int, int]]) -> str:
    """As in train-rle.csv: each offset from the end of the run before."""
    ends = [0, *(start + length for start, length in runs)]
    return " ".join(f"{start - end} {length}" for (start, length), end in zip(runs, ends, strict=False))


def absolute_code(runs: list[tuple[int, int]]) -> str:
    return " ".join(f"{start} {length}" for start, length in runs)


def paint(masks: pl.DataFrame, image: str) -> np.ndarray:
    row = masks.filter(pl.col("image_id") == image).row(0, named=True)
    flat = np.zeros(row["height"] * row["width"], bool)
    for start, length in zip(row["runs"][::2], row["runs"][1::2], strict=True):
        flat[start : start + length] = True
    return flat.reshape(row["width"], row["height"]).T


def batched(words: list[str]) -> list[tuple[str, str]]:
    return list(zip(words[::2], words[1::2], strict=True))


def write_dicom(path: Path) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.Rows, dataset.Columns = HEIGHT, WIDTH
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def read(root: Path, *rows: str, name: str = "train-rle.csv", header: str = "ImageId, EncodedPixels") -> Benchmark:
    for image in sorted({row.split(",")[0] for row in rows}):
        write_dicom(root / f"dicom-images-train/study-{image}/series-{image}/{image}.dcm")
    (root / name).write_text("\n".join([header, *rows]) + "\n")
    return BENCHMARKS["siim"].read(root, labels=name, seed=0)


def blob(seed: int) -> np.ndarray:
    mask = np.random.default_rng(seed).random((HEIGHT, WIDTH)) < 0.3
    mask[0, 0] = False
    return mask


def test_both_forms_give_the_same_masks(tmp_path: Path) -> None:
    drawn = {f"1.2.{n}": blob(n) for n in range(6)}
    relative = [f"{image}, {relative_code(runs_of(mask))}" for image, mask in drawn.items()]
    absolute = [f"{image},{absolute_code(runs_of(mask))}" for image, mask in drawn.items()]
    first = read(tmp_path, *relative, "1.3, -1", "1.4,-1")
    header = "ImageId,EncodedPixels"
    second = read(tmp_path, *absolute, "1.3,-1", "1.4,-1", name="stage_2_train.csv", header=header)
    assert first.masks is not None
    assert second.masks is not None
    assert first.masks.equals(second.masks)
    assert [form.counts["offsets_from_the_first_pixel"] for form in (first, second)] == [0, 1]
    for image, mask in drawn.items():
        assert (paint(first.masks, image) == mask).all()
    assert first.labels["label"].sum() == 6
    assert first.images["path"][0] == "dicom-images-train/study-1.2.0/series-1.2.0/1.2.0.dcm"
    assert first.images["patient_id"][0] == "study-1.2.0"


def test_rows_of_an_image_are_united(tmp_path: Path) -> None:
    one, two = blob(1), blob(2)
    rows = [f"a, {relative_code(runs_of(mask))}" for mask in (one, two)]
    benchmark = read(tmp_path, *rows, "b, -1")
    assert benchmark.masks is not None
    assert (paint(benchmark.masks, "a") == (one | two)).all()
    starts = benchmark.masks["runs"][0].to_list()[::2]
    assert starts == [start for start, _ in runs_of(one | two)]
    assert (benchmark.counts["rows_published"], benchmark.counts["rows_without_mask"]) == (3, 1)


@settings(max_examples=40)
@given(st.lists(hnp.arrays(bool, (HEIGHT, WIDTH)), min_size=1, max_size=5), st.booleans())
def test_any_masks_come_back(drawn: list[np.ndarray], as_absolute: bool) -> None:
    code = absolute_code if as_absolute else relative_code
    words = [code(runs_of(mask)).split() for mask in drawn]
    numbered = [(n, str(n), int(a), int(b)) for n, row in enumerate(words) for a, b in batched(row)]
    schema = {"line": pl.Int64, "image_id": pl.String, "offset": pl.Int64, "length": pl.Int64}
    sizes = pl.DataFrame({"image_id": [str(n) for n in range(len(drawn))], "height": HEIGHT, "width": WIDTH})
    try:
        decided, _ = decide_form(pl.DataFrame(numbered, schema=schema, orient="row"), sizes, Path("f.csv"))
    except DatasetError:
        reject()  # fits both forms, as few and small masks may
    for number, mask in enumerate(drawn):
        mine = decided.filter(pl.col("image_id") == str(number))
        assert mine.select("start", "length").rows() == runs_of(mask)


def test_a_file_of_neither_form_names_a_line_of_each(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"train-rle.csv, line 3: .* and on line 2 they overlap"):
        read(tmp_path, "a, 50 5 3 2", "b, 100 5 110 5")


def test_a_file_that_fits_both_forms_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="fits both forms"):
        read(tmp_path, "a, 5 2 20 3")


def test_single_runs_mean_the_same_in_both_forms(tmp_path: Path) -> None:
    masks = read(tmp_path, "a, 5 2", "b, 118 2").masks
    assert masks is not None
    assert masks["runs"].to_list() == [[5, 2], [118, 2]]
    with pytest.raises(DatasetError, match="line 2: the runs leave the image"):
        read(tmp_path, "a, 119 2")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a, 5 2 7", "line 2: EncodedPixels is '5 2 7' instead of -1 or pairs"),
        ("a, 5 0", "instead of -1 or pairs of offset and length"),
        ("a, -5 2", "instead of -1 or pairs"),
        ("a,", "EncodedPixels is empty"),
        (",-1", "ImageId is empty instead of an id"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "train-rle.csv").write_text(f"ImageId, EncodedPixels\n{row}\n")
    with pytest.raises(DatasetError, match=message):
        BENCHMARKS["siim"].read(tmp_path, seed=0)


def test_no_mask_beside_a_mask_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 3: EncodedPixels is '-1' instead of -1 alone"):
        read(tmp_path, "a, 5 2", "a, -1")


def test_an_image_with_an_unreadable_header_has_no_mask_and_stays_listed(tmp_path: Path) -> None:
    whole = read(tmp_path, "a, 5 2", "b, 7 2", "b, 20 1", "c, 9 3")
    (tmp_path / "dicom-images-train/study-b/series-b/b.dcm").write_bytes(b"nothing")
    benchmark = BENCHMARKS["siim"].read(tmp_path, seed=0)
    assert benchmark.counts["images_unreadable"] == 1
    assert benchmark.masks is not None
    assert benchmark.masks["image_id"].to_list() == ["a", "c"]
    assert benchmark.images["image_id"].equals(whole.images["image_id"])
    assert benchmark.labels.equals(whole.labels)
    for name in "ac":
        (tmp_path / f"dicom-images-train/study-{name}/series-{name}/{name}.dcm").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="has no mask for any readable image"):
        BENCHMARKS["siim"].read(tmp_path, seed=0)


def test_the_same_image_in_two_places_is_an_error(tmp_path: Path) -> None:
    read(tmp_path, "a, 5 2")
    write_dicom(tmp_path / "dicom-images-train/other/series/a.dcm")
    with pytest.raises(DatasetError, match="holds a twice"):
        BENCHMARKS["siim"].read(tmp_path, seed=0)
