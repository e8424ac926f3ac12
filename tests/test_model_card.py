from dataclasses import replace

from pipeline.model_card import CardInputs, model_card

INPUTS = CardInputs(
    method="MeDSLIP",
    imported=None,
    phantoms=True,
    model_hash="0123abcd",
    params={"method": "medslip", "corpus": "mimic_cxr", "loss": {"icl": True}},
    counts={"train_images": 1724},
    metrics={"validation_auroc_pathology": 0.81234, "validation_auroc_anatomy": None},
    queries={"pathologies": ["mass", "edema"], "anatomies": ["lung"]},
)


def test_a_card_states_use_limits_data_metrics_and_parameters() -> None:
    card = model_card(INPUTS)
    assert card.startswith("# MeDSLIP pre-trained on phantoms")
    assert "Not a medical device" in card
    assert "| train images | 1,724 |" in card
    assert "| validation auroc pathology | 0.8123 |" in card
    assert "| validation auroc anatomy | not defined |" in card
    assert "2 pathologies: mass, edema." in card
    assert "  icl: true" in card
    assert "0123abcd" in card


def test_a_card_of_real_data_names_the_corpus() -> None:
    card = model_card(replace(INPUTS, phantoms=False))
    assert card.startswith("# MeDSLIP pre-trained on mimic_cxr")
    assert "phantom" not in card


def test_a_card_of_an_imported_model_claims_no_training_here() -> None:
    card = model_card(replace(INPUTS, imported="a checkpoint", counts={}))
    assert card.startswith("# MeDSLIP imported from a checkpoint")
    assert "Metrics on validation images: phantoms drawn by this project" in card
    assert "trained on phantoms" not in card
    assert "Training data" not in card


def test_a_card_is_the_same_each_time() -> None:
    assert model_card(INPUTS) == model_card(INPUTS)
