import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import TableError
from pipeline.pictures import read_pictures, write_pictures

CAPTIONS = ["mass, mild", "\N{GREEK SMALL LETTER ALPHA}"]
ARRAYS = {
    "images": np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4),
    "truth": np.eye(4, dtype=bool)[None].repeat(2, 0),
    "maps": np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 4, 3)[:, :, ::-1],  # not contiguous
    "boxes": np.empty((0, 5)),
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_pictures(tmp_path / "new" / "rsna.safetensors", CAPTIONS, ARRAYS)
    captions, found = read_pictures(tmp_path / "new" / "rsna.safetensors", *ARRAYS)
    assert captions == tuple(CAPTIONS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_the_same_pictures_are_the_same_bytes_whenever_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "now", CAPTIONS, ARRAYS)
    later = time.time() + 1e6
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(later))
    write_pictures(tmp_path / "later", CAPTIONS, dict(reversed(ARRAYS.items())))
    assert (tmp_path / "now").read_bytes() == (tmp_path / "later").read_bytes()


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="nowhere cannot be read"):
        read_pictures(tmp_path / "nowhere")
    (tmp_path / "broken").write_bytes(b"[broken")
    with pytest.raises(TableError, match="broken cannot be read"):
        read_pictures(tmp_path / "broken")
    write_pictures(tmp_path / "some", CAPTIONS, ARRAYS)
    with pytest.raises(TableError, match=r"some cannot be read .*masks"):
        read_pictures(tmp_path / "some", "masks")
