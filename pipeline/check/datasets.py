"""Inspects one dataset through its reader: counts against the published ones, labels, splits, images.

What a reader refuses is the dataset's problem here, not an exception.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import polars as pl
import yaml

from pipeline.benchmarks import BENCHMARKS, Benchmark
from pipeline.check.images import decode_images
from pipeline.corpora import CORPORA, mimic_cxr
from pipeline.errors import PipelineError
from pipeline.label_files import Source
from pipeline.params import BenchmarkFolder, Corpus
from pipeline.splits import SPLITS

State = Literal["found", "odd", "missing"]
REPORTS = 50  # of MIMIC-CXR's that a look opens; all of them take minutes on a network's disk


@dataclass(frozen=True)
class Look:
    """How to look.

    Attributes:
        seed: of the hash rule that splits.
        size: pixels that images are decoded to.
        max_broken: images that may fail to decode.
        workers: processes to decode all images in; None decodes a few.
        phantoms: data.root holds phantoms, whose counts are their own.
        listings: folder for lists of broken images.
    """

    seed: int
    size: int
    max_broken: int
    workers: int | None
    phantoms: bool
    listings: Path


@dataclass
class Inspected:
    """What was seen of a dataset.

    Attributes:
        task: corpus or benchmark.
        key: its name in params.yaml.
        source: what it is called, and where it comes from.
        folder: where it was looked for.
        configured: it is part of the experiment.
        there: its folder exists.
        counts: how much is there, in words.
        facts: its splits, views or findings, in words.
        oddities: what is not as published, in words; the experiment can run all the same.
        problems: what keeps the experiment from running.
    """

    task: Literal["corpus", "benchmark"]
    key: str
    source: Source
    folder: Path
    configured: bool
    there: bool = True
    counts: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def state(self) -> State:
        """Found as published, odd, or missing."""
        if not self.there:
            return "missing"
        return "odd" if self.oddities or self.problems else "found"


@cache
def published() -> Mapping[str, Any]:
    """Dataset -> citation and counts, from published.yaml."""
    text = files("pipeline.check").joinpath("published.yaml").read_text("utf-8")
    content: Mapping[str, Any] = yaml.safe_load(text)
    return content


def inspect_corpus(
    key: str, chosen: Corpus, root: Path, look: Look, needed: Mapping[str, int], *, configured: bool
) -> Inspected:
    """Look at a corpus below data.root; `needed` says how many images a split must have at least."""
    seen = _begin("corpus", key, CORPORA[key].SOURCE, root, chosen, configured=configured)
    if not seen.problems:
        try:
            images, counts = _read_corpus(key, chosen, seen.folder, look.seed)
            _compare(seen, counts, look)
            _splits(seen, images, needed)
            _views(seen, images)
            _decode(seen, images, look)
        except PipelineError as error:
            seen.problems.append(str(error))
    return seen


def inspect_benchmark(
    key: str, chosen: BenchmarkFolder, root: Path, look: Look, needed: Mapping[str, int], *, configured: bool
) -> Inspected:
    """Look at a benchmark below data.root; `needed` says how many images a split must have at least."""
    seen = _begin("benchmark", key, BENCHMARKS[key].SOURCE, root, chosen, configured=configured)
    if not seen.problems:
        settings = chosen.model_dump(exclude={"folder"}, exclude_none=True)
        try:
            benchmark = BENCHMARKS[key].read(seen.folder, seed=look.seed, **settings)
            _compare(seen, benchmark.counts, look)
            _splits(seen, benchmark.images, needed)
            _findings(seen, benchmark)
            _decode(seen, benchmark.images, look)
        except PipelineError as error:
            seen.problems.append(str(error))
    return seen


def _begin(
    task: Literal["corpus", "benchmark"],
    key: str,
    source: Source,
    root: Path,
    chosen: Corpus | BenchmarkFolder,
    *,
    configured: bool,
) -> Inspected:
    seen = Inspected(task, key, source, root / chosen.folder, configured)
    seen.there = seen.folder.is_dir()
    if not seen.there:
        seen.problems.append(f"{seen.folder} is missing: ask for {source.name} at {source.access}.")
    elif not (seen.folder / chosen.labels).exists():
        setting = "corpus" if task == "corpus" else f"benchmarks.{key}"
        seen.problems.append(
            f"{seen.folder / chosen.labels} is missing: unpack it there, or name the file you have with "
            f"{setting}.labels."
        )
    return seen


def _read_corpus(key: str, chosen: Corpus, folder: Path, seed: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """Images and counts; of MIMIC-CXR's reports only some are opened."""
    if key == "mimic_cxr":
        images, counts = mimic_cxr.find_images(folder, chosen.labels, chosen.views)
        studies = images.filter("has_report").unique("study_id").sort("study_id")
        some = studies.gather_every(max(1, studies.height // REPORTS)).head(REPORTS)
        told = mimic_cxr.select_reports(some, folder, chosen.sections)
        sampled = {"reports_sampled": some.height, "reports_sampled_without_section": some.height - told.height}
        return images.filter("has_report"), counts | sampled
    corpus = CORPORA[key].read(folder, labels=chosen.labels, views=chosen.views, sections=chosen.sections, seed=seed)
    return corpus.images, corpus.counts


def _compare(seen: Inspected, counts: Mapping[str, int], look: Look) -> None:
    """The counts beside the published ones; files that are missing are odd."""
    expected = {} if look.phantoms else published()[seen.key]["counts"]
    for name, count in counts.items():
        if name.startswith(("positive_", "images_train", "images_validate", "images_test", "studies_")):
            continue  # shown as labels and splits
        seen.counts.append(f"{_words(name)} {count:,}" + (f" of {expected[name]:,}" if name in expected else ""))
        if name.endswith(("_missing", "_unreadable")) and count:
            seen.oddities.append(f"{_words(name)}: {count:,}")
    for name, count in expected.items():
        if counts[name] != count:
            source = published()[seen.key]["citation"]
            seen.oddities.append(f"{_words(name)}: {counts[name]:,} instead of the published {count:,} ({source})")


def _words(name: str) -> str:
    """A count's name as people say it: what is listed differs from what has a file and can be read."""
    if name in ("images", "studies"):
        return f"{name} to read"
    return name.replace("_published", " listed").replace("_", " ")


def _splits(seen: Inspected, images: pl.DataFrame, needed: Mapping[str, int]) -> None:
    sizes = {split: int((images["split"] == split).sum()) for split in SPLITS}
    seen.facts.append("splits: " + ", ".join(f"{split} {size:,}" for split, size in sizes.items()))
    seen.problems += [
        f"{seen.folder} has {sizes[split] or 'no'} images in the split {split}; the experiment needs {least} or more."
        for split, least in needed.items()
        if sizes[split] < least
    ]


def _views(seen: Inspected, images: pl.DataFrame) -> None:
    views = images["view"].fill_null("unknown").value_counts().sort("count", "view", descending=[True, False])
    seen.facts.append("views: " + ", ".join(f"{view} {count:,}" for view, count in views.iter_rows()))


def _findings(seen: Inspected, benchmark: Benchmark) -> None:
    """How often each finding is positive; one without both classes among the test images cannot be scored."""
    labels = benchmark.labels.join(benchmark.images.select("image_id", "split"), on="image_id")
    tested = pl.col("label").filter(pl.col("split") == "test")
    found = labels.group_by("finding").agg(positive=pl.col("label").cast(pl.Int64).sum(), classes=tested.n_unique())
    found = found.sort("positive", "finding", descending=[True, False])
    seen.facts.append("positive: " + ", ".join(f"{name} {count:,}" for name, count, _ in found.iter_rows()))
    lacking = found.filter(pl.col("classes") < 2)["finding"].to_list()
    if len(lacking) == found.height:
        seen.problems.append(f"{seen.folder}: no finding has both positive and negative test images.")
    elif lacking:
        seen.oddities.append(f"not scored for lack of positive or negative test images: {', '.join(lacking)}")


def _decode(seen: Inspected, images: pl.DataFrame, look: Look) -> None:
    listing = look.listings / f"{seen.key}.parquet"
    result = decode_images(images, seen.folder, look.size, look.workers, listing)
    broken = result.broken.height
    seen.counts.append(f"decoded {result.tried - broken:,} of {result.tried:,} images tried")
    if broken:
        first = f"{broken:,} images cannot be decoded, listed in {listing}; the first: {result.broken['reason'][0]}"
        (seen.problems if broken > look.max_broken else seen.oddities).append(first)
