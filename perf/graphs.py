"""Published graphs to triplets to existence at MIMIC-CXR's size, and existence matrices of all its studies.

220,763 annotations, about 1.3 GB as published, are composed from the lexicon with a fixed seed: whole reports, of which
the corpus keeps findings and impression. 65 % of the sentences stand in other reports too, as an Open-i report's do in
2,500 others. The reference is `json.load` of the first reports of the same file, which only parses.
Run: python -m perf.graphs [--reports N]. CPU seconds are of all processes, so that other work does not count; memory is
the sum of their resident sets, in which shared pages count for each.
"""

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pipeline.schemas import EXISTENCE, TRIPLETS, write_table
from pipeline.semantics.existence import build_existence
from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.query_sets import build_query_sets
from pipeline.triplets import extract
from pipeline.triplets.graphs import read_annotations
from pipeline.triplets.lexicon import load_lexicon

PUBLISHED, STUDIES, CORES = 220_763, 227_835, 2
SECONDS, GIGABYTES = 180, 4.0  # bars: graphs to existence on two cores
EXISTENCE_SECONDS, EXISTENCE_MEGABYTES = 15, 60  # bars: matrices of all studies
SENTENCES = 8  # of a report, for 30 entities where the published ones have 27
REPEATED, STOCK = 0.65, 20_000  # of the sentences; of so many
_HEAD = (
    "FINAL REPORT EXAMINATION : CHEST ( PA AND LAT ) INDICATION : ___ year old man with cough , evaluate for edema . "
    "TECHNIQUE : Frontal and lateral views of the chest were obtained in the upright position . COMPARISON : ___ "
)
_TAIL = (
    "RECOMMENDATION ( S ) : Follow up in four to six weeks . NOTIFICATION : The findings were discussed by Dr . ___ "
    "with Dr . ___ on the telephone on ___ at 10 : 45 AM , 5 minutes after discovery of the findings . "
)


class Part(NamedTuple):
    """Tokens with the entities in them: first and last token, label, and relations to others by their place."""

    tokens: list[str]
    entities: list[tuple[int, int, str, list[tuple[str, int]]]]


class Meter:
    """CPU seconds, wall seconds and the highest memory of this process and its children. A context manager."""

    def __enter__(self) -> "Meter":
        self.peak, self._over = 0, Event()
        self._start, self._cpu = time.monotonic(), os.times()
        self._thread = Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.wall = time.monotonic() - self._start
        self.cpu = sum(os.times()[:4]) - sum(self._cpu[:4])

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.peak = max(self.peak, sum(map(_resident, _family(os.getpid()))))


def _family(process: int) -> list[int]:
    children = [path.read_text().split() for path in Path(f"/proc/{process}/task").glob("*/children") if path.exists()]
    return [process, *(relative for part in children for child in part for relative in _family(int(child)))]


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0  # it has ended


def sentences(rng: np.random.Generator) -> Iterator[Part]:
    """Endless sentences of findings, places, sides and severities, as RadGraph annotates them."""
    lexicon = load_lexicon()
    findings = np.array([phrase for entry in lexicon.pathologies.values() for phrase in entry.synonyms])
    places = np.array([phrase for entry in lexicon.anatomies.values() for phrase in entry.synonyms])
    while True:
        a, b, c = map(str, rng.choice(findings, 3))
        place, side = str(rng.choice(places)), str(rng.choice(["left", "right", "bilateral"]))
        severity = str(rng.choice(["Small", "Moderate", "Large", "Mild"]))
        match rng.integers(4):
            case 0:
                words = ["No", (a, "OBS-DA"), ",", (b, "OBS-DA"), "or", (c, "OBS-DA"), "is seen ."]
            case 1:
                words = [(severity, "OBS-DP", ("modify", 1)), (a, "OBS-DP", ("located_at", 3)), "in the",
                         (side, "ANAT-DP", ("modify", 3)), (place, "ANAT-DP"), ",",
                         ("unchanged", "OBS-DP", ("modify", 1)), "since the prior study ."]  # fmt: skip
            case 2:
                words = ["The", (place, "ANAT-DP"), "shows",
                         (a, "OBS-DP", ("located_at", 0), ("suggestive_of", 2), ("suggestive_of", 3)),
                         ", which may represent", (b, "OBS-U"), "versus", (c, "OBS-U"), "."]  # fmt: skip
            case _:
                words = ["The", (place, "ANAT-DP"), "is", ("normal", "OBS-DP", ("located_at", 0)),
                         "and there is no evidence of", (a, "OBS-DA"), "."]  # fmt: skip
        yield _part(words)


def _part(words: list[Any]) -> Part:
    part = Part([], [])
    for word in words:
        text, *described = (word,) if isinstance(word, str) else word
        first = len(part.tokens)
        part.tokens.extend(text.split())
        if described:
            part.entities.append((first, len(part.tokens) - 1, described[0], described[1:]))
    return part


def _annotation(parts: list[Part]) -> dict[str, Any]:
    tokens: list[str] = [*_HEAD.split(), "FINDINGS", ":"]
    entities: dict[str, Any] = {}
    for index, part in enumerate(parts):
        if index == SENTENCES * 3 // 4:
            tokens += ["IMPRESSION", ":"]
        offset, before = len(tokens), len(entities) + 1
        tokens += part.tokens
        for first, last, label, relations in part.entities:
            entities[str(len(entities) + 1)] = {
                "tokens": " ".join(part.tokens[first : last + 1]), "label": label, "start_ix": offset + first,
                "end_ix": offset + last, "relations": [[name, str(before + to)] for name, to in relations],
            }  # fmt: skip
    return {
        "text": " ".join(tokens + _TAIL.split()),
        "entities": entities,
        "data_source": "MIMIC-CXR",
        "data_split": "inference",
    }


def generate(folder: Path, count: int) -> None:
    """Write graphs.json with `count` annotations, and reports.parquet with the reports of all studies."""
    rng = np.random.default_rng(0)
    fresh = sentences(rng)
    stock = list(islice(fresh, STOCK))
    texts: list[str] = []
    with (folder / "graphs.json").open("w") as file:
        for number in range(count):
            drawn = zip(rng.random(SENTENCES) < REPEATED, rng.integers(STOCK, size=SENTENCES), strict=True)
            parts = [stock[index] if repeated else next(fresh) for repeated, index in drawn]
            lines = [" ".join(part.tokens).replace(" .", ".").replace(" ,", ",") for part in parts]
            texts.append(" ".join(lines[: SENTENCES * 3 // 4]) + "\n\n" + " ".join(lines[SENTENCES * 3 // 4 :]))
            file.write(("{" if number == 0 else ", ") + f'"p{number // 20_000 + 10}/p1{number:07}/s{number}.txt": ')
            file.write(json.dumps(_annotation(parts), indent=1))  # with the spaces, as many bytes as published
        file.write("}")
    studies = max(count, count * STUDIES // PUBLISHED)
    texts += ["Clear lungs."] * (studies - count)
    pl.DataFrame({"study_id": map(str, range(studies)), "text": texts}).write_parquet(folder / "reports.parquet")


def reference(path: Path, count: int) -> float:
    """CPU seconds per annotation of `json.load` of the file's first ones."""
    first = "{" + ", ".join(f"{json.dumps(key)}: {text}" for key, text in islice(read_annotations(path), count)) + "}"
    start = time.process_time()
    loaded = json.loads(first)
    return (time.process_time() - start) / len(loaded)


def main() -> None:
    """Print seconds and memory of both ways beside their bars."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--reports", type=int, default=PUBLISHED)
    count = arguments.parse_args().reports
    with TemporaryDirectory() as name:
        folder = Path(name)
        writer = get_context("spawn").Process(target=generate, args=(folder, count))  # its memory is not measured
        writer.start()
        writer.join()
        path, reports = folder / "graphs.json", pl.read_parquet(folder / "reports.parquet")
        print(f"{count:,} annotations in {path.stat().st_size / 1e9:.2f} GB, {reports.height:,} studies")
        parsing = reference(path, min(count, 10_000)) * count
        with Meter() as extraction:
            counts: Counter[str] = Counter()
            triplets = extract(reports, "graphs", CORES, graphs=path, counts=counts)
            write_table(triplets, folder / "triplets.parquet", TRIPLETS)
        studies = reports.select("study_id", split=pl.lit("train"))
        query_sets = build_query_sets(
            triplets, studies, load_knowledge(), source="frequency", pathologies=75, anatomies=50
        )
        with Meter() as matrices:
            existence = build_existence(triplets, query_sets)
            write_table(existence, folder / "existence.parquet", EXISTENCE)
        size = (folder / "existence.parquet").stat().st_size
    print(f"counts: {dict(counts)}")
    cpu, wall = extraction.cpu + matrices.cpu, extraction.wall + matrices.wall
    print(f"graphs -> {triplets.height:,} triplets -> existence: {cpu:.0f} s of CPU, {cpu / CORES:.0f} s on two cores")
    print(f"({wall:.0f} s here), of {SECONDS} s allowed; {cpu / parsing:.1f} times json.load's {parsing:.1f} s")
    print(f"peak memory of all processes {max(extraction.peak, matrices.peak) / 1e9:.2f} GB of {GIGABYTES} GB allowed")
    print(f"existence of {existence['study_id'].n_unique():,} studies, {existence.height / reports.height:.1f} entries "
          f"each: {matrices.cpu:.1f} s of CPU ({matrices.wall:.1f} s here) of {EXISTENCE_SECONDS} s, "
          f"{size / 1e6:.1f} MB of {EXISTENCE_MEGABYTES} MB allowed")  # fmt: skip


if __name__ == "__main__":
    main()
