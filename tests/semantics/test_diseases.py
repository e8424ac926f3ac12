import polars as pl

from pipeline.semantics.diseases import NO_DISEASE, by_disease
from pipeline.triplets.lexicon import load_lexicon


def named(*pathologies: str) -> list[tuple[str, str]]:
    triplets = pl.DataFrame({"pathology": pathologies, "study_id": [str(n) for n in range(len(pathologies))]})
    return by_disease(triplets).select("pathology", "disease").rows()


def test_a_narrow_name_counts_for_every_disease_above_it() -> None:
    assert named("nodule", "hemothorax", "metastasis") == [
        ("nodule", "nodule"),
        ("hemothorax", "hemothorax"),
        ("hemothorax", "pleural effusion"),
        ("metastasis", "metastasis"),
        ("metastasis", "mass"),
    ]


def test_devices_normal_and_broad_names_are_no_diseases() -> None:
    assert named("normal", "opacity", "lesion", "abnormality", "process", "device", "picc", "sternotomy wire") == []
    assert set(NO_DISEASE) <= set(load_lexicon().pathologies)


def test_a_disease_below_a_broad_name_is_one() -> None:
    assert named("pneumonia", "ground-glass opacity") == [
        ("pneumonia", "pneumonia"),
        ("ground-glass opacity", "ground-glass opacity"),
    ]
