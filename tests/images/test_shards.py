import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from pipeline.errors import ImageError, TableError
from pipeline.images import shard_writer, shards
from pipeline.images.decode import decode
from pipeline.images.shards import ImageShards, build_shards
from pipeline.schemas import BROKEN_IMAGES, IMAGE_INDEX, read_table

SIZE = 16


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_ROWS", 4)


@pytest.fixture
def images(tmp_path: Path) -> pl.DataFrame:
    """Ten images of several sizes and kinds under tmp_path/raw."""
    rng = np.random.default_rng(0)
    (tmp_path / "raw").mkdir()
    names = [f"{n}.{'png' if n % 2 else 'jpg'}" for n in range(10)]
    for number, name in enumerate(names):
        pixels = rng.integers(0, 256, (20 + number, 30), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "raw" / name)
    sizes = [(tmp_path / "raw" / name).stat().st_size for name in names]
    return pl.DataFrame({"image_id": [name[0] for name in names], "path": names, "bytes": sizes})


def build(
    images: pl.DataFrame, tmp_path: Path, out: str = "out", workers: int = 1, max_broken: int = 0
) -> dict[str, int]:
    return build_shards(
        images,
        tmp_path / "raw",
        tmp_path / out,
        size=SIZE,
        workers=workers,
        max_broken=max_broken,
        cache=tmp_path / "cache",
    )


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_every_image_comes_back(images: pl.DataFrame, tmp_path: Path) -> None:
    assert build(images, tmp_path) == {"images": 10, "broken": 0, "shards": 3}
    opened = ImageShards(tmp_path / "out")
    assert opened.ids.to_list() == images["image_id"].to_list()
    assert (len(opened), opened.size) == (10, SIZE)
    order = np.array([7, 0, 9, 0, 4])
    batch = opened.gather(order)
    assert batch.dtype == torch.uint8
    for pixels, row in zip(batch, order, strict=True):
        expected = decode(tmp_path / "raw" / images["path"][int(row)], SIZE)
        assert (pixels.numpy() == expected.pixels).all()
    assert opened.index.select("width", "height").row(3) == (30, 23)
    assert opened.gather(np.array([], np.int64)).shape == (0, SIZE, SIZE)


def test_rows_by_id(images: pl.DataFrame, tmp_path: Path) -> None:
    build(images, tmp_path)
    opened = ImageShards(tmp_path / "out")
    assert opened.row_of(["3", "0", "3"]).tolist() == [3, 0, 3]
    assert opened.row_of(pl.Series(["9"])).tolist() == [9]
    with pytest.raises(TableError, match="has no image nobody"):
        opened.row_of(["3", "nobody"])


def test_any_number_of_workers_writes_the_same_bytes(images: pl.DataFrame, tmp_path: Path) -> None:
    for out, workers in (("one", 1), ("two", 3)):
        build(images, tmp_path, out, workers)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert not (tmp_path / "cache").exists()


def test_an_interrupted_run_goes_on(images: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(images, tmp_path, "whole")
    decoded: list[str] = []

    def stop_in_the_second_shard(path: Path, size: int) -> object:
        if len(decoded) == 5:
            raise KeyboardInterrupt
        decoded.append(path.name)
        return decode(path, size)

    monkeypatch.setattr(shard_writer, "decode", stop_in_the_second_shard)
    with pytest.raises(KeyboardInterrupt):
        build(images, tmp_path)
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / "cache").glob("*.arrow"))) == 1
    again: list[str] = []
    monkeypatch.setattr(shard_writer, "decode", lambda path, size: (again.append(path.name), decode(path, size))[1])
    build(images, tmp_path)
    assert again == images["path"].to_list()[4:]
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_changed_files_and_sizes_are_not_taken_from_the_cache(images: pl.DataFrame, tmp_path: Path) -> None:
    batch = shards._batch(images, tmp_path, SIZE)
    changed = images.with_columns(pl.col("bytes") + 1)
    keys = {batch.key(), shards._batch(changed, tmp_path, SIZE).key(), shards._batch(images, tmp_path, 17).key()}
    assert len(keys) == 3


def decoded_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are decoded from now on."""
    names: list[str] = []

    def note(path: Path, size: int) -> object:
        names.append(path.name)
        return decode(path, size)

    monkeypatch.setattr(shard_writer, "decode", note)
    return names


def test_what_was_decoded_beside_broken_images_is_kept(
    images: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build(images, tmp_path, "whole")
    good = (tmp_path / "raw/5.png").read_bytes()
    for name in ("2.jpg", "5.png"):
        (tmp_path / "raw" / name).write_bytes(b"")
    names = decoded_names(monkeypatch)
    with pytest.raises(ImageError, match="2 of 10"):
        build(images, tmp_path)
    (tmp_path / "raw/5.png").write_bytes(good)
    names.clear()
    with pytest.raises(ImageError, match="1 of 10"):
        build(images, tmp_path)
    assert names == ["2.jpg", "5.png"]
    assert "Resuming with 1 of 3 shards" in capsys.readouterr().out
    names.clear()
    assert build(images, tmp_path, max_broken=1) == {"images": 9, "broken": 1, "shards": 3}
    assert names == ["2.jpg"]
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(tmp_path / "raw/2.jpg")
    build(images, tmp_path, "mended")
    assert len(ImageShards(tmp_path / "mended")) == 10
    assert digests(tmp_path / "mended")["00001.arrow"] == digests(tmp_path / "whole")["00001.arrow"]


def test_a_damaged_file_in_the_cache_is_made_anew(images: pl.DataFrame, tmp_path: Path) -> None:
    build(images, tmp_path, "whole")
    (tmp_path / "raw/9.png").write_bytes(b"")
    with pytest.raises(ImageError):
        build(images, tmp_path)
    for file in (tmp_path / "cache").glob("*.arrow"):
        file.write_bytes(file.read_bytes()[:-40])
    shutil.copy(tmp_path / "raw/7.png", tmp_path / "raw/9.png")
    build(images, tmp_path)
    assert digests(tmp_path / "out")["00001.arrow"] == digests(tmp_path / "whole")["00001.arrow"]


def test_a_full_disk_is_named_and_costs_no_finished_shard(
    images: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(table: pl.DataFrame, path: Path, schema: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(shards, "write_table", full)
        with pytest.raises(ImageError, match=r"index\.parquet cannot be used \(No space left .*shards are kept"):
            build(images, tmp_path)
    names = decoded_names(monkeypatch)
    assert build(images, tmp_path)["images"] == 10
    assert names == []


def test_broken_images_are_counted_and_listed(images: pl.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "raw/1.png").write_bytes(b"")
    (tmp_path / "raw/6.jpg").unlink()
    assert build(images, tmp_path, max_broken=2) == {"images": 8, "broken": 2, "shards": 3}
    broken = read_table(tmp_path / "out/broken.parquet", BROKEN_IMAGES)
    assert broken.select("image_id", "path").rows() == [("1", "1.png"), ("6", "6.jpg")]
    assert "is empty" in broken["reason"][0]
    opened = ImageShards(tmp_path / "out")
    assert opened.ids.to_list() == ["0", "2", "3", "4", "5", "7", "8", "9"]
    assert read_table(tmp_path / "out/index.parquet", IMAGE_INDEX)["row"].to_list() == [0, 1, 2, 0, 1, 2, 0, 1]
    expected = decode(tmp_path / "raw/7.png", SIZE).pixels
    assert (opened.gather(opened.row_of(["7"]))[0].numpy() == expected).all()


def test_too_many_broken_images_stop_and_leave_what_was_there(images: pl.DataFrame, tmp_path: Path) -> None:
    build(images, tmp_path)
    before = digests(tmp_path / "out")
    good = (tmp_path / "raw/1.png").read_bytes()
    (tmp_path / "raw/1.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"1 of 10 images cannot be decoded, .*images.max_broken=0") as caught:
        build(images, tmp_path)
    for part in ("1.png is empty", str(tmp_path / "cache/broken.parquet")):
        assert part in str(caught.value)
    assert read_table(tmp_path / "cache/broken.parquet", BROKEN_IMAGES)["image_id"].to_list() == ["1"]
    assert digests(tmp_path / "out") == before
    (tmp_path / "raw/1.png").write_bytes(good)  # mended
    build(images, tmp_path)
    assert digests(tmp_path / "out") == before


def test_nothing_but_broken_images_is_an_error_whatever_the_limit(images: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="10 of 10 images cannot be decoded, all or"):
        build(images.with_columns(path=pl.format("gone/{}", "path")), tmp_path, max_broken=100)


def test_empty_and_repeated_lists_are_errors(images: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no images"):
        build(images.head(0), tmp_path)
    with pytest.raises(TableError, match="Image 2 is listed twice"):
        build(pl.concat([images, images[2:3]]), tmp_path)


def test_missing_and_damaged_shards_are_named(images: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"index\.parquet is missing"):
        ImageShards(tmp_path / "nowhere")
    build(images, tmp_path)
    (tmp_path / "out/00001.arrow").write_bytes(b"nothing")
    with pytest.raises(TableError, match=r"00001\.arrow is missing or damaged"):
        ImageShards(tmp_path / "out")


def hang(image: Path) -> bytes:
    """Put in the place of an image something that whoever opens it waits for."""
    content = image.read_bytes()
    image.unlink()
    os.mkfifo(image)
    return content


def test_a_killed_worker_is_an_error_that_names_its_image(
    images: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(images, tmp_path, "whole")
    stuck = tmp_path / "raw/5.png"
    good = hang(stuck)
    monkeypatch.setattr(shards, "_dies", lambda image, size: False)
    with ThreadPoolExecutor(1) as background:
        building = background.submit(build, images, tmp_path, workers=2)
        cache = tmp_path / "cache"
        while len([*cache.glob("*.arrow")]) < 2 or not any(stuck.name in n.read_text() for n in cache.glob("*.now")):
            time.sleep(0.05)
        victims = active_children()
        os.kill(victims[0].pid, signal.SIGKILL)
        with pytest.raises(ImageError, match=r"process died.* over one of: .*raw/5\.png.*what is finished is kept"):
            building.result()
    assert not any(victim.is_alive() for victim in victims)
    stuck.unlink()
    stuck.write_bytes(good)
    build(images, tmp_path)
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_an_image_that_ends_its_process_costs_itself_alone(
    images: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(tmp_path / "raw/5.png")
    monkeypatch.setattr(shards, "PATIENCE", 1)
    assert build(images, tmp_path, workers=2, max_broken=1) == {"images": 9, "broken": 1, "shards": 3}
    ((image_id, _, reason),) = read_table(tmp_path / "out/broken.parquet", BROKEN_IMAGES).rows()
    assert image_id == "5"
    assert reason.startswith(f"{tmp_path / 'raw/5.png'} ends the process that decodes it, in a decoder")
    assert not (tmp_path / "cache").exists()


def test_a_decoder_does_not_get_all_memory(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from pipeline.images.shard_writer import MEMORY, prepare_process; prepare_process();"
        "np.zeros(MEMORY, np.uint8)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "MemoryError" in ended.stderr
