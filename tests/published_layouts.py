"""Writes every dataset in the layout its source publishes, quirks included, at any size up to the published one.

Each writer returns the image paths that its label files speak of; `fill` makes files of them. Contents are made up.
"""

import gzip
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CXR14_FINDINGS = [
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
]
CXR14_BOXES = {"Atelectasis": 180, "Cardiomegaly": 146, "Effusion": 153, "Infiltrate": 123, "Mass": 85, "Nodule": 79,
               "Pneumonia": 120, "Pneumothorax": 98}  # fmt: skip
VINBIGDATA_CLASSES = [
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Nodule/Mass",
    "Other lesion",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
]
SIDE = 1024  # pixels of a SIIM image


def cxr14(root: Path, images: int = 112_120, tested: int = 25_596, *, release: int = 2017) -> list[str]:
    """Four images a patient. Release 2017 has commas at the end of its lines, a byte order mark and CRLF; 2020 none."""
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    names = [f"{n // 4 + 1:08d}_{n % 4:03d}.png" for n in range(images)]
    found = ["|".join(CXR14_FINDINGS[n % 14 : n % 14 + n % 3]) or "No Finding" for n in range(images)]
    people = [
        f"{n % 4},{n // 4 + 1},{20 + n // 4 % 70},{'MF'[n // 4 % 2]},{('PA', 'AP')[n % 2]}" for n in range(images)
    ]
    rows = [
        f"{name},{labels},{who},2682,2749,0.143,0.143" for name, labels, who in zip(names, found, people, strict=True)
    ]
    if release == 2017:
        text = "\ufeff" + "".join(f"{line},\r\n" for line in [header, *rows])
        (root / "Data_Entry_2017.csv").write_bytes(text.encode())
    else:
        _write(root / "Data_Entry_2017_v2020.csv", [header, *rows])
    _write(root / "train_val_list.txt", names[:-tested])
    (root / "test_list.txt").write_text("\n".join(names[-tested:]))  # without a line feed at the end
    _write(root / "BBox_List_2017.csv", ["Image Index,Finding Label,Bbox [x,y,w,h],,,", *_cxr14_boxes(names[-tested:])])
    return [f"images_{n * 12 // images + 1:03d}/images/{name}" for n, name in enumerate(names)]


def _cxr14_boxes(names: Sequence[str]) -> list[str]:
    """984 boxes on 880 images, or as many images as there are: two of an image are of different findings."""
    findings = [finding for finding, count in CXR14_BOXES.items() for _ in range(count)]
    return [f"{names[n % min(880, len(names))]},{name},{n % 700}.5,10.25,86.7,79.1" for n, name in enumerate(findings)]


def rsna(root: Path, images: int = 26_684, positives: int = 6_012, boxes: int = 9_555) -> list[str]:
    ids = [f"{n:08x}-aaaa-4bbb-8ccc-{n:012x}" for n in range(images)]
    rows = [f"{ids[n % positives]},{100 + n // positives}.0,152.0,213.0,379.0,1" for n in range(boxes)]
    rows += [f"{name},,,,,0" for name in ids[positives:]]
    _write(root / "stage_2_train_labels.csv", ["patientId,x,y,width,height,Target", *rows])
    return [f"stage_2_train_images/{name}.dcm" for name in ids]


def siim(
    root: Path, images: int = 12_047, masked: int = 2_669, rows: int = 3_576, *, absolute: bool = False
) -> tuple[list[str], dict[str, int]]:
    """`rows` masks over `masked` images in one of both forms; returns paths, and image -> pixels of its mask."""
    ids = [f"1.2.276.0.7230010.3.1.4.8323329.{n}.1517875160" for n in range(images)]
    lines, areas = [], dict.fromkeys(ids[:masked], 0)
    for n in range(rows):
        name, part = ids[n % masked], n // masked  # an image's masks lie beside each other
        top, left, height, width = 100 + n % 500, 50 + 300 * part, 20 + n % 200, 5 + n % 40
        starts = [(left + column) * SIDE + top for column in range(width)]
        offsets = starts if absolute else [starts[0], *[SIDE - height] * (width - 1)]
        code = " ".join(f"{offset} {height}" for offset in offsets)
        lines.append(f"{name},{code}" if absolute else f"{name}, {code}")
        areas[name] += height * width
    lines += [f"{name},-1" if absolute or n % 2 else f"{name}, -1" for n, name in enumerate(ids[masked:])]
    if absolute:
        _write(root / "stage_2_train.csv", ["ImageId,EncodedPixels", *lines])
    else:
        _write(root / "train-rle.csv", ["ImageId, EncodedPixels", *lines])
    return [f"dicom-images-train/1.2.{n}/1.3.{n}/{name}.dcm" for n, name in enumerate(ids)], areas


def vinbigdata(root: Path, images: int = 15_000, normal: int = 10_606, boxes: int = 36_096) -> list[str]:
    ids = [f"{n:032x}" for n in range(images)]
    rows = [f"{name},No finding,14,R{n % 17 + rad + 1},,,," for n, name in enumerate(ids[:normal]) for rad in range(3)]
    abnormal = ids[normal:]
    for n in range(boxes):
        turn, at = divmod(n, len(abnormal))  # three radiologists in turn, who name one or two findings of the image
        kind = (at + turn // 3 + (turn % 3) * (at % 2)) % 14
        rows.append(
            f"{abnormal[at]},{VINBIGDATA_CLASSES[kind]},{kind},R{8 + turn % 3},{n % 900}.0,10.0,{n % 900 + 50}.0,99.0"
        )
    _write(root / "train.csv", ["image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max", *rows])
    return [f"train/{name}.dicom" for name in ids]


def covidx(root: Path, train: int = 67_863, val: int = 8_473, test: int = 8_482, *, visits: int = 1) -> list[str]:
    """Every seventh file name holds spaces; patient numbers are unique per source only; `visits` images a patient."""
    paths, number = [], 0
    for split, count in (("train", train), ("val", val), ("test", test)):
        lines = []
        for _ in range(count):
            name = f"SARS ({number}) x-ray.jpg" if number % 7 == 0 else f"{number}.png"
            lines.append(f"{number // (3 * visits)} {name} {('positive', 'negative')[number % 2]} source{number % 3}")
            paths.append(f"{split}/{name}")
            number += 1
        (root / f"{split}.txt").write_text("\r\n".join(lines) + "\n")
    return paths


def rahman(root: Path, **counts: int) -> list[str]:
    counts = counts or {"COVID": 3_616, "Lung_Opacity": 6_012, "Normal": 10_192, "Viral Pneumonia": 1_345}
    (root / "COVID.metadata.xlsx").write_bytes(b"PK")
    return [f"{label}/images/{label}-{n + 1}.png" for label, count in counts.items() for n in range(count)]


def covid_chestxray(root: Path, patients: int) -> list[str]:
    header = "patientid,offset,sex,age,finding,view,modality,folder,filename,clinical_notes,other_notes,"
    findings = ["Pneumonia/Viral/COVID-19", "No Finding", "Tuberculosis", "Pneumonia/Bacterial/Streptococcus"]
    rows = [
        f'{n // 2},{n % 2},F,60,{findings[n // 2 % 4]},AP Supine,X-ray,images,{n}.jpg,"Right opacity, visit {n}.",,'
        for n in range(2 * patients)
    ]
    rows.append('0,9,F,60,todo,Axial,CT,volumes,scan.nii.gz,"CT.",,')
    _write(root / "metadata.csv", [header, *rows])
    return [f"images/{n}.jpg" for n in range(2 * patients)]


def mimic_cxr(root: Path, patients: int) -> list[str]:
    """Two studies a patient, of two images each, the second without a view."""
    metadata = [
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime"
    ]
    split, paths = ["dicom_id,study_id,subject_id,split"], []
    for n in range(4 * patients):
        subject, study, name = 10_000_000 + n // 4, 50_000_000 + n // 2, f"{n:08x}-aaaaaaaa-bbbbbbbb-cccccccc-{n:08x}"
        view = ("PA", "", "AP", "")[n % 4]
        metadata.append(f'{name},{subject},{study},"CHEST (PA AND LAT)",{view},3056,2544,21800506,213014.531')
        split.append(f"{name},{study},{subject},{('train', 'train', 'validate', 'test')[n // 4 % 4]}")
        folder = f"files/p{str(subject)[:2]}/p{subject}/s{study}"
        paths.append(f"{folder}/{name}.jpg")
        report = root / f"{folder}.txt"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(
            "                FINAL REPORT\n FINDINGS:  Small left pleural effusion.\n\n IMPRESSION: ___.\n"
        )
    for name, lines in (("metadata", metadata), ("split", split)):
        (root / f"mimic-cxr-2.0.0-{name}.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    return paths


def openi(root: Path, reports: int, extra: str = "") -> list[str]:
    """Two images a report, the first report's under names of another form; `extra` ends the last report's abstract."""
    folder, paths = root / "ecgen-radiology", []
    folder.mkdir()
    for n in range(1, reports + 1):
        names = [f"CXR{n}_{'1_' if n == 1 else ''}IM-{n:04d}-{view}" for view in (1001, 2001)]
        images = "".join(f'<parentImage id="{name}"><figureId>F1</figureId></parentImage>' for name in names)
        (folder / f"{n}.xml").write_text(
            '<?xml version="1.0" encoding="utf-8"?>\n<eCitation><uId id="CXR"/><MedlineCitation><Article><Abstract>'
            '<AbstractText Label="COMPARISON">None.</AbstractText><AbstractText Label="INDICATION">Pain</AbstractText>'
            '<AbstractText Label="FINDINGS">The XXXX are clear. No effusion &amp; no pneumothorax.</AbstractText>'
            f'<AbstractText Label="IMPRESSION">Normal chest.</AbstractText>{extra if n == reports else ""}</Abstract>'
            f"</Article></MedlineCitation><MeSH><major>normal</major></MeSH>{images}</eCitation>\n"
        )
        paths += [f"{name}.png" for name in names]
    return paths


def csv_table(root: Path, patients: int) -> list[str]:
    rows = [f'scans/{n}.png,"FINDINGS: Clear, visit {n}.",patient {n // 2},PA' for n in range(2 * patients)]
    _write(root / "studies.csv", ["image,report,patient,view", *rows])
    return [f"scans/{n}.png" for n in range(2 * patients)]


SMALL: dict[str, Callable[[Path], list[str]]] = {  # each dataset in small, most with several images of a patient
    "cxr14": lambda root: cxr14(root, 400, 120),
    "rsna": lambda root: rsna(root, 150, 60, 90),
    "siim": lambda root: siim(root, 150, 40, 60)[0],
    "covidx": lambda root: covidx(root, 60, 45, 45, visits=2),
    "covid_chestxray": lambda root: covid_chestxray(root, 90),
    "vinbigdata": lambda root: vinbigdata(root, 150, 60, 900),
    "rahman": lambda root: rahman(root, **{"COVID": 40, "Lung_Opacity": 20, "Normal": 40, "Viral Pneumonia": 20}),
    "mimic_cxr": lambda root: mimic_cxr(root, 24),
    "openi": lambda root: openi(root, 60),
    "csv": lambda root: csv_table(root, 90),
}


def fill(root: Path, paths: Iterable[str]) -> None:
    """Make each path a readable image of its suffix's kind; they are links to one file a kind."""
    made: dict[str, Path] = {}
    for path in paths:
        suffix = path.rsplit(".", 1)[1]
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if suffix not in made:
            made[suffix] = root / path
            made[suffix].write_bytes(_content(suffix))
        else:
            (root / path).hardlink_to(made[suffix])


@cache
def _content(suffix: str) -> bytes:
    pixels = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    buffer = BytesIO()
    if suffix in ("png", "jpg"):
        Image.fromarray(pixels).save(buffer, {"png": "PNG", "jpg": "JPEG"}[suffix])
        return buffer.getvalue()
    dataset, meta = Dataset(), FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.file_meta = meta
    dataset.Rows = dataset.Columns = 16
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PixelRepresentation = "MONOCHROME2", 1, 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("\n".join(lines) + "\n")
