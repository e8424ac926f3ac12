"""The images stage over a folder of every kind of file: what it keeps, lists, and never shows."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from pipeline.images.shards import SHARD_ROWS, build_shards
from pipeline.params import compose
from pipeline.schemas import BROKEN_IMAGES, IMAGE_INDEX, IMAGES, read_table, write_table

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/images"))
from image_files import MARK, every_kind, revealing  # noqa: E402

OUT, CACHE = Path("data/images/corpus"), Path(".checkpoints/images/corpus")
FOLDER = "l'hôpital, 2 films"
COMMAND = [sys.executable, "-m", "stages.images", "32"]
BROKEN = len(revealing())
COPIES = (2 * SHARD_ROWS - BROKEN) // len(every_kind())  # two shards with what is broken
GOOD = COPIES * len(every_kind())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset whose names say nothing of the kinds, the broken ones last, and its table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("raw", FOLDER).mkdir(parents=True)
    contents = [*every_kind().values()] * COPIES + [*revealing().values()]
    names = [f"{number:04d}.png" for number in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        Path("raw", FOLDER, name).write_bytes(content)
    texts = pl.DataFrame(dict.fromkeys(("image_id", "study_id", "patient_id", "path"), names))
    images = texts.with_columns(
        split=pl.lit("train"),
        bytes=pl.Series([len(content) for content in contents], dtype=pl.Int64),
        view=pl.lit(None, pl.String),
        sex=pl.lit(None, pl.String),
        age=pl.lit(None, pl.Float32),
    ).select(IMAGES.names)
    write_table(images, Path("data/corpus/images.parquet"), IMAGES)
    return tmp_path


def set_params(max_broken: int) -> None:
    overrides = ["data.root=raw", f'corpus.folder="{FOLDER}"', "images.size=32", f"images.max_broken={max_broken}"]
    Path("params.yaml").write_text(compose(ROOT / "conf", overrides)[0])


def run_stage(max_broken: int) -> subprocess.CompletedProcess[str]:
    set_params(max_broken)
    return subprocess.run(COMMAND, capture_output=True, text=True)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def shows_a_name(folder: Path) -> bool:
    return any(MARK[1:-1].encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_what_cannot_be_read_is_listed_and_the_rest_kept(project: Path) -> None:
    stopped = run_stage(max_broken=BROKEN - 1)
    assert stopped.returncode == 1
    assert f"error: {BROKEN} of {GOOD + BROKEN} images cannot be decoded" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not shows_a_name(CACHE)
    done = run_stage(max_broken=BROKEN)
    assert done.returncode == 0, done.stderr
    assert "Resuming with 1 of 2 shards" in done.stdout
    assert f"{GOOD} images in 2 shards; {BROKEN} cannot be decoded." in done.stdout
    assert not shows_a_name(OUT)
    assert MARK[1:-1] not in stopped.stdout + stopped.stderr + done.stdout + done.stderr
    assert read_table(OUT / "index.parquet", IMAGE_INDEX).height == GOOD
    broken = read_table(OUT / "broken.parquet", BROKEN_IMAGES)
    assert broken["image_id"].to_list() == [f"{GOOD + number:04d}.png" for number in range(BROKEN)]
    images = read_table(Path("data/corpus/images.parquet"), IMAGES)
    arguments = {"size": 32, "max_broken": BROKEN, "cache": Path("cache")}
    build_shards(images, Path("raw", FOLDER), Path("alone"), workers=1, **arguments)
    assert digests(Path("alone")) == digests(OUT)


def until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.1)
    pytest.fail("what the test waits for does not happen within minutes")


def test_a_killed_stage_leaves_no_processes_and_goes_on(project: Path) -> None:
    stuck = Path("raw", FOLDER, f"{SHARD_ROWS + 9:04d}.png")
    good = stuck.read_bytes()
    stuck.unlink()
    os.mkfifo(stuck)  # whoever opens it waits
    set_params(max_broken=BROKEN)
    stage = subprocess.Popen(COMMAND)
    until(lambda: bool(list(CACHE.glob("*.arrow"))) and any(stuck.name in n.read_text() for n in CACHE.glob("*.now")))
    children = Path(f"/proc/{stage.pid}/task/{stage.pid}/children").read_text().split()
    stage.kill()
    stage.wait()
    until(lambda: not any(Path("/proc", child).exists() for child in children))
    stuck.unlink()
    stuck.write_bytes(good)
    done = run_stage(max_broken=BROKEN)
    assert done.returncode == 0, done.stderr
    assert "Resuming with 1 of 2 shards" in done.stdout
    assert f"{GOOD} images in 2 shards" in done.stdout
