"""COVID-19 Radiography Database (Rahman et al.): COVID-19 or not, named by the folder an image lies in.

The other folders (normal, lung opacity, viral pneumonia) are its negatives. The dataset names no patients and publishes
no split, so an image stands for a patient, and images are split by the hash rule.
"""

from pathlib import Path

import polars as pl

from pipeline.benchmarks.base import Benchmark, count_kept, long_labels, split_by_hash
from pipeline.errors import DatasetError
from pipeline.label_files import Source, find_label_file, list_files
from pipeline.splits import describe_rule

METADATA = "COVID.metadata.xlsx"
FOLDERS = {name: f"{name}/images" for name in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")}
SOURCE = Source(
    name="COVID-19 Radiography Database",
    folder="covid19-radiography",
    label_files=(METADATA,),
    licence="as published on Kaggle; cite Chowdhury et al. 2020 and Rahman et al. 2021",
    access="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
)
FRACTIONS = {"train": 0.5, "validate": 0.2, "test": 0.3}
FINDINGS = {"COVID": "covid-19"}


def read(root: Path, *, labels: str = METADATA, seed: int) -> Benchmark:
    """Read images and labels.

    Args:
        root: holds COVID/images/, Lung_Opacity/images/, Normal/images/ and Viral Pneumonia/images/.
        labels: a file that must be there but is not read: its change tells of another release.
        seed: of the hash rule that splits the images.

    Raises:
        DatasetError: the file or a folder is missing, or a folder holds no image.
    """
    find_label_file(root, labels, SOURCE.name)
    listed = pl.concat(_list_folder(root, label, folder) for label, folder in FOLDERS.items())
    images = split_by_hash(listed.with_columns(patient_id="image_id").sort("image_id"), seed, FRACTIONS)
    positives = listed.filter(pl.col("label").is_in(list(FINDINGS))).select("image_id", finding="label")
    found = long_labels(images, positives, FINDINGS, root)
    counts = {f"images_of_{label}": int((listed["label"] == label).sum()) for label in FOLDERS}
    return Benchmark(images, found, None, None, counts | count_kept(images, found), describe_rule(seed, FRACTIONS))


def _list_folder(root: Path, label: str, folder: str) -> pl.DataFrame:
    """image_id (the path below root), path, bytes, label."""
    files = list_files(root, [folder], (".png",))
    if files.is_empty():
        raise DatasetError(
            f"{root / folder} holds no PNG image: unpack {SOURCE.name} there as published, "
            f"or remove the dataset from params.yaml."
        )
    return files.select("path", "bytes", image_id="path", label=pl.lit(label))
