"""MIMIC-CXR's size without MIMIC-CXR: what the stages before training cost on a tree of its names and tables.

The tree has 377,110 images of 227,835 studies in the published layout: csv.gz tables, a folder per study, reports whose
sentences have their annotations in one JSON (see `perf.graphs`); all images are links to one small JPEG. The project's
own stages then run on it in a copy of the project, as DVC runs them: corpus, triplets from the annotations, query sets,
existence; then `dvc repro` with nothing changed. Run: python -m perf.data [--scale 0.02]. CPU seconds are of all
processes, so that other work does not count; memory is the sum of their resident sets. The full size takes 4 GB in
TMPDIR.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from PIL import Image

from perf.graphs import CORES, PUBLISHED, STUDIES, Meter, generate

PROJECT = Path(__file__).parents[1]
IMAGES, PATIENTS = 377_110, 65_379
MANIFEST_SECONDS, MANIFEST_GIGABYTES = 60, 2.0  # bars: the list of the images alone
SECONDS, GIGABYTES = 600, 8.0  # bars: all stages, on two cores
UNCHANGED_SECONDS = 10  # bar: `dvc repro` with nothing to do
LINKS = 60_000  # of one file, within ext4's limit
STAGES = ("phantom", "corpus", "triplets", "query_sets", "existence")
VIEWS, SHARES = ("PA", "AP", "LATERAL", "LL", ""), (0.26, 0.39, 0.22, 0.09, 0.04)
MANIFEST = "import sys; from pathlib import Path; from pipeline.corpora.mimic_cxr import METADATA, find_images; " \
    "print(find_images(Path(sys.argv[1]), METADATA, ())[1])"  # fmt: skip


def write_tree(folder: Path, scale: float) -> None:
    """Write graphs.json and mimic-cxr-jpg/ with so much of the published number of studies and images."""
    generate(folder, max(200, round(PUBLISHED * scale)))
    texts = pl.read_parquet(folder / "reports.parquet")["text"].to_list()  # of study 0, 1, ...
    patients = max(1, len(texts) * PATIENTS // STUDIES)
    subjects = [10_000_000 + study * patients // len(texts) * (10_000_000 // patients) for study in range(len(texts))]
    root = folder / "mimic-cxr-jpg"
    places = [f"files/p{str(subject)[:2]}/p{subject}/s{study}" for study, subject in enumerate(subjects)]
    for place, text in zip(places, texts, strict=True):
        (root / place).mkdir(parents=True)
        findings, _, impression = text.partition("\n\n")
        report = f"                FINAL REPORT\n FINDINGS:  {findings}\n\n IMPRESSION:  {impression}\n"
        (root / f"{place}.txt").write_text(report)
    _write_images(root, places, subjects)


def _write_images(root: Path, places: list[str], subjects: list[int]) -> None:
    """Both tables, and a link for every image."""
    count = len(places) * IMAGES // STUDIES
    views = np.random.default_rng(0).choice(VIEWS, count, p=SHARES)
    metadata = ["dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate"]
    split = ["dicom_id,study_id,subject_id,split"]
    for image, view in enumerate(views):
        study = image * len(places) // count
        name = f"{image:08x}-{study:08x}-aaaaaaaa-bbbbbbbb-cccccccc"
        metadata.append(f"{name},{subjects[study]},{study},CHEST (PA AND LAT),{view},3056,2544,21800506")
        split.append(f"{name},{study},{subjects[study]},{_split(subjects[study])}")
        picture = root / f"picture{image // LINKS}.jpg"
        if not picture.exists():
            Image.linear_gradient("L").resize((64, 64)).save(picture)
        os.link(picture, root / places[study] / f"{name}.jpg")
    for name, lines in (("metadata", metadata), ("split", split)):
        with gzip.open(root / f"mimic-cxr-2.0.0-{name}.csv.gz", "wt") as file:
            file.write("\n".join(lines) + "\n")


def _split(subject: int) -> str:
    """About the published shares: 0.8 % validate, 1.4 % test."""
    place = subject * 2_654_435_761 % 2**32 / 2**32
    return "validate" if place < 0.008 else "test" if place < 0.022 else "train"


def copy_project(folder: Path, data: Path) -> None:
    """The project's files, as a repository of its own whose parameters point at the tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (PROJECT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, folder / name)
    run(folder, "git", "init", "-q")
    run(
        folder, sys.executable, "-m", "pipeline.cli", "compose",
        "corpus=mimic_cxr", "corpus.views=[]", f"data.root={data}", "grounding=[]",
        "~benchmarks.cxr14", "~benchmarks.rsna", "~benchmarks.siim", "~benchmarks.covidx",
        "corpus_benchmarks=[]", "unseen=[]", "finding_maps=[]",
        "finetune.benchmarks=[]", "finetune.segmentation=[]",
        "extraction.source=graphs", f"extraction.graphs={data / 'graphs.json'}",
    )  # fmt: skip


def run(folder: Path, *command: str) -> str:
    """Run a command in the copied project; return what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def measure(project: Path, data: Path) -> Iterator[tuple[str, Meter]]:
    """Run everything once; what was run, and its cost."""
    with Meter() as meter:
        print(run(project, sys.executable, "-c", MANIFEST, str(data / "mimic-cxr-jpg")).strip())
    yield "manifest", meter
    for stage in STAGES:
        with Meter() as meter:
            run(project, "dvc", "repro", "--single-item", stage)
        yield stage, meter
    with Meter() as meter:
        said = run(project, "dvc", "repro", STAGES[-1])
    if "Running stage" in said:
        raise SystemExit(f"`dvc repro` ran a stage though nothing had changed:\n{said}")
    yield "unchanged", meter


def main() -> None:
    """Print every step's seconds and memory beside their bars."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--scale", type=float, default=1.0, help="fraction of the published size")
    scale = arguments.parse_args().scale
    with TemporaryDirectory() as name:
        data, project = Path(name) / "data", Path(name) / "project"
        data.mkdir()
        copy_project(project, data)
        writer = get_context("spawn").Process(target=write_tree, args=(data, scale))  # its memory is not measured
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit("the tree could not be written: see above, and give TMPDIR more room")
        costs = {}
        for step, meter in measure(project, data):
            costs[step] = meter
            print(
                f"{step:10} {meter.cpu:7.1f} s of CPU ({meter.wall:.1f} s here), {meter.peak / 1e9:.2f} GB", flush=True
            )
    stages = [costs[stage] for stage in STAGES]
    cpu, peak = sum(meter.cpu for meter in stages), max(meter.peak for meter in stages)
    manifest, unchanged = costs["manifest"], costs["unchanged"]
    print(f"at {scale:.0%} of MIMIC-CXR's size")
    print(f"manifest: {manifest.cpu:.1f} of {MANIFEST_SECONDS} s, {manifest.peak / 1e9:.2f} of {MANIFEST_GIGABYTES} GB")
    print(f"stages: {cpu:.0f} s of CPU, at least {cpu / CORES:.0f} s and, on one core, {cpu:.0f} s of {SECONDS} s; "
          f"{peak / 1e9:.2f} of {GIGABYTES} GB")  # fmt: skip
    print(f"nothing changed: {unchanged.cpu:.1f} of {UNCHANGED_SECONDS} s")


if __name__ == "__main__":
    main()
