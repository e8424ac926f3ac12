import gzip
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DatasetError
from pipeline.label_files import find_label_file, list_files, read_csv, read_lines, require


def write(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_values_are_stripped_typed_and_empty_ones_null(tmp_path: Path) -> None:
    path = write(tmp_path, '\ufeffname, count ,note,\r\n a ,1,"x,\ny",\r\n\r\nb,,,\r\n')
    rows = read_csv(path, {"count": pl.Int64, "name": pl.String, "note": pl.String})
    assert rows.rows() == [(2, 1, "a", "x,\ny"), (5, None, "b", None)]
    assert rows.columns == ["line", "count", "name", "note"]


def test_gzip_and_a_single_column(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(b"a,b\n1,2\n"), "labels.csv.gz")
    assert read_csv(path, {"b": pl.Int8})["b"].to_list() == [2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the column 'a'"),
        ("b,c\n1,2\n", "lacks the column 'a'"),
        ("a,b\n1,2\n3\n", "line 3: 1 fields instead of 2"),
        ("a,b\n1,2,3\n", "line 2: 3 fields instead of 2"),
        ('a,b\n"x\ny",1\nz,one\n', "line 4: b is 'one' instead of a value of type Int64"),
        ("a,b\nx,1.5\n", "line 2: b is '1.5'"),
        (b"a,b\n\xff,1\n", "not UTF-8"),
        (b"a,b\n" + b"x,1\n" * 900 + b"x\xe9,1\n" + b"x,1\n" * 9000, "line 902, is not UTF-8 text"),
        ('a,b\n"x,1\n', "line 2, cannot be read .*: restore the file as published, or mend that line: a value that"),
        ("a,b\nx, y,1\n", "line 2: 3 fields instead of 2: restore the file as published, or mend that line: a value"),
        ("a,b,a\nx,1,y\n", "has the column 'a' twice in its first line: keep one of them"),
    ],
)
def test_what_is_not_as_published_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DatasetError, match=message) as caught:
        read_csv(path, {"a": pl.String, "b": pl.Int64})
    assert str(path) in str(caught.value)


def test_a_truncated_gzip_is_an_error(tmp_path: Path) -> None:
    content = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(5000)))
    with pytest.raises(DatasetError, match="fetch the file again"):
        read_csv(write(tmp_path, content[:-200], "labels.csv.gz"), {"a": pl.Int64})


def test_infinite_numbers_are_not_data(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="x is 'nan'"):
        read_csv(write(tmp_path, "x,y\nnan,1\n"), {"x": pl.Float32})


@given(st.binary(max_size=200))
def test_any_bytes_give_a_table_or_a_dataset_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = write(tmp_path_factory.mktemp("bytes"), b"a,b\n" + content)
    for read in (lambda: read_csv(path, {"a": pl.String, "b": pl.Float32}), lambda: read_lines(path)):
        with suppress(DatasetError):
            assert "line" in read().columns


def test_a_line_that_is_no_text_is_named_wherever_it_stands(tmp_path: Path) -> None:
    content = "\ufeffone\r\n".encode() + b"two\n" * 5000 + b"thr\xe9e\n" + b"four\n" * 5000
    with pytest.raises(DatasetError, match=r"list\.txt, line 5002, is not UTF-8 text: .* or save it as UTF-8"):
        read_lines(write(tmp_path, content, "list.txt"))
    with pytest.raises(DatasetError, match=r"list\.csv\.gz, line 5002, is not UTF-8 text"):
        read_csv(write(tmp_path, gzip.compress(content), "list.csv.gz"), {"one": pl.String})


def test_a_value_may_be_as_long_as_a_report_with_all_its_addenda(tmp_path: Path) -> None:
    path = write(tmp_path, f'a,b\n"{"Clear. " * 30_000}",1\n')
    assert read_csv(path, {"a": pl.String})["a"].str.len_chars().item() == 7 * 30_000 - 1


def test_lines_keep_their_numbers(tmp_path: Path) -> None:
    assert read_lines(write(tmp_path, "one\r\n\n two\n")).rows() == [(1, "one"), (3, "two")]


def test_require_names_the_first_bad_line_and_shortens_the_value(tmp_path: Path) -> None:
    rows = pl.DataFrame({"line": [2, 3], "kind": ["good", "x" * 500]})
    with pytest.raises(DatasetError, match=r"line 3: kind is 'x{40}' instead of good"):
        require(rows, tmp_path / "f.csv", "kind", pl.col("kind") == "good", "good")


def test_listing_finds_files_at_any_depth_in_order(tmp_path: Path) -> None:
    for name, size in (("b/deep/er/2.PNG", 3), ("a/1.png", 1), ("a/1.txt", 1), ("c/9.png", 1)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    listed = list_files(tmp_path, ["b", "a", "nowhere"], (".png",))
    assert listed.rows() == [("a/1.png", "1.png", 1), ("b/deep/er/2.PNG", "2.PNG", 3)]


def test_a_link_to_nowhere_is_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"x")
    for name in ("2.png", "folder"):
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    assert list_files(tmp_path, [""], (".png",))["path"].to_list() == ["1.png"]


def test_a_link_that_points_upwards_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(b"x")
    (tmp_path / "a/again").symlink_to(tmp_path / "a")
    assert list_files(tmp_path, ["a"], (".png",))["path"][0] == "a/1.png"


def test_missing_folder_and_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere is missing: put THE SET there"):
        find_label_file(tmp_path / "nowhere", "a.csv", "THE SET")
    with pytest.raises(DatasetError, match=r"a\.csv is missing: put this file of THE SET there"):
        find_label_file(tmp_path, "a.csv", "THE SET")
    write(tmp_path, "", "b.csv")
    assert find_label_file(tmp_path, "b.csv", "THE SET") == tmp_path / "b.csv"
