"""What the report says of fine-tuning, segmentation, retrieval and embeddings, from the numbers in the files."""

import copy
from dataclasses import replace

import pytest

from pipeline.reporting import downstream
from pipeline.reporting.answer import findings
from pipeline.reporting.pictures import Picture, subgroup_pictures, wording_pictures
from pipeline.reporting.results import Outcome, ReportInputs, evaluations, load_outcome
from pipeline.reporting.spaces import space_pictures
from pipeline.reporting.tables import column_title, result_tables, with_interval


@pytest.fixture(scope="module")
def outcome(inputs: ReportInputs) -> Outcome:
    return load_outcome(inputs.reports, inputs.params)


def said(pictures) -> dict[str, str]:
    """Name -> sentence of pictures, each of which is one sentence."""
    found: dict[str, Picture] = {picture.name: picture for picture in pictures}
    assert all(picture.see.endswith(".") and picture.see.count(". ") == 0 for picture in found.values())
    return {name: picture.see for name, picture in found.items()}


def test_few_labels_against_another_start(outcome: Outcome) -> None:
    see = said(downstream.finetune_pictures(outcome))
    assert see["finetune_siim"] == (
        "With 1 % of the training images (6) AUROC is 0.700 from pre-training and 0.550 from random weights: a "
        "difference of +0.150 (95 % interval +0.050 to +0.250)."
    )
    alone = {"pretrained": outcome.tasks["finetune"]["siim"]["runs"]["pretrained"]}
    only = {"siim": {**outcome.tasks["finetune"]["siim"], "runs": alone, "differences": {}}}
    see = said(downstream.finetune_pictures(replace(outcome, tasks={**outcome.tasks, "finetune": only})))
    assert see["finetune_siim"] == "With 1 % of the training images (6) AUROC is 0.700, with all of them 0.900."


def test_masks_are_described_from_their_pixels(outcome: Outcome) -> None:
    see = said(downstream.segmentation_pictures(outcome))
    assert see["mask_siim_0"] == "The true region (left) is missed: nothing is outlined."
    assert see["mask_siim_1"] == "The outline on the right covers 50% of the true region on the left; Dice is 0.50."
    assert see["mask_siim_2"] == "Nothing is to be outlined, and something is."
    assert see["mask_siim_3"] == "Nothing is to be outlined, and nothing is."


def test_dice_is_read_against_what_drawing_nothing_scores(outcome: Outcome) -> None:
    see = said(downstream.segmentation_pictures(outcome))
    assert see["dice_positive_siim"] == (
        "With 1 % of the training images (6) Dice is 0.500 from pre-training and 0.350 from random weights: a "
        "difference of +0.150 (95 % interval +0.080 to +0.220)."
    )
    assert see["dice_siim"].endswith(
        "0.700 from pre-training and 0.550 from random weights: a difference of +0.150 (95 % interval +0.050 to "
        "+0.250); who draws no mask at all scores 0.660 (dashed line)."
    )


def test_grounding_counts_the_findings_above_chance(outcome: Outcome) -> None:
    see = said(downstream.grounding_pictures(outcome))
    assert "1 of 2 intervals lie above chance" in see["grounding_findings_rsna"]
    assert see["grounding_rsna"].startswith("The pointing game succeeds 4.4 times as often")


def test_retrieval_beside_chance(outcome: Outcome) -> None:
    see = said(downstream.retrieval_pictures(outcome))
    assert (
        "812 pairs, 30.0% (image to text) and 30.0% (text to image) are right; by chance 4.0%"
        in see["retrieval_corpus"]
    )
    assert "and at best 40.0% (image to text)" in see["retrieval_corpus"]


def test_spaces_name_the_best_and_the_worst(outcome: Outcome) -> None:
    see = said(space_pictures(outcome))
    assert "edema stands out most (0.600), mass least (0.100)" in see["finding_maps_cxr14"]
    assert "silhouette score is 0.410" in see["streams"]
    assert see["similarity_fine_grained"] == (
        "Mean cosine of texts written this way (fine-grained): 0.250 of different findings and 0.700 of severities of "
        "one finding to the frozen encoder, shown here, and 0.050 of different findings and 0.500 of severities of one "
        "finding after training; the lower, the better they are told apart."
    )
    without = said(space_pictures(replace(outcome, streams=None, silhouette=None, case_study=None)))
    assert list(without) == ["finding_maps_cxr14"]


def test_wording_and_subgroups_quote_the_extremes(outcome: Outcome) -> None:
    spreads = [results["prompt_sensitivity"]["auroc_range"] for results in outcome.zero_shot.values()]
    see = said(wording_pictures(outcome))["prompt_styles"]
    assert f"{max(spreads):.3f}" in see
    assert f"{min(spreads):.3f}" in see
    alone = replace(outcome, tasks={**outcome.tasks, "zero_shot": {"siim": outcome.zero_shot["siim"]}})
    assert said(wording_pictures(alone))["prompt_styles"].endswith(" of AUROC.")
    rows = outcome.zero_shot["siim"]["subgroups"]["sex"]
    assert f"{max(row['auroc'] for row in rows.values()):.3f}" in said(subgroup_pictures(outcome))["subgroups_siim"]


def told(inputs: ReportInputs, outcome: Outcome) -> dict[str, str]:
    return {finding.task: finding.text for finding in findings(inputs, outcome)}


def test_the_answer_is_one_sentence_or_two_per_task(inputs: ReportInputs, outcome: Outcome) -> None:
    answered = told(inputs, outcome)
    assert len(answered) == sum(bool(names) for task, names in outcome.tasks.items() if task != "finding_maps")
    own = [f"{with_interval(outcome.zero_shot[name], 'auroc')} on " for name in ("cxr14", "rsna", "siim", "covidx")]
    assert answered["Zero-shot classification"] == (
        f"AUROC {own[0]}NIH ChestX-ray14, {own[1]}RSNA Pneumonia, {own[2]}SIIM-ACR Pneumothorax and {own[3]}COVIDx "
        "CXR-4. The MeDSLIP paper prints 0.803 on NIH ChestX-ray14, 0.865 on RSNA Pneumonia, 0.897 on SIIM-ACR "
        "Pneumothorax and 0.834 on COVIDx CXR-4, of its own data."
    )
    assert answered["Fine-tuned segmentation"] == (
        "Dice with 1 / 10 / 100 % of SIIM-ACR Pneumothorax's training images on positive images 0.500 / 0.600 / 0.700 "
        "(random weights 0.350 / 0.400 / 0.550); a difference of +0.150 (95 % interval +0.080 to +0.220) at 1 %; on "
        "all images 0.700 / 0.800 / 0.900 (random weights 0.550 / 0.600 / 0.750), where no mask at all gives 0.660. "
        "The MeDSLIP paper prints 0.704 on 1 % of SIIM-ACR Pneumothorax, of its own data."
    )


@pytest.mark.parametrize(("low", "won"), [(0.01, 6), (-0.01, 3)])
def test_the_answer_counts_where_pre_training_helps_beyond_chance(
    inputs: ReportInputs, outcome: Outcome, low: float, won: int
) -> None:
    tuned = copy.deepcopy(outcome.tasks["finetune"])
    for name, results in tuned.items():
        for row in results["differences"]["random"].values():
            row["interval"] = [low if name == "siim" else 0.02, 0.3]
    text = told(inputs, replace(outcome, tasks={**outcome.tasks, "finetune": tuned}))["Fine-tuned classification"]
    assert f"Pre-training is better beyond chance in {won} of 6 comparisons." in text


def test_retrieval_is_told_between_chance_and_the_best_possible(inputs: ReportInputs, outcome: Outcome) -> None:
    text = told(inputs, outcome)["Retrieval"]
    assert "0.300 from image to text (chance 0.040, best possible 0.400; at least one in 55%) and 0.300" in text


def test_f1_stands_beside_f1_where_the_paper_prints_no_auroc(inputs: ReportInputs, outcome: Outcome) -> None:
    medfilip = replace(inputs, params={**inputs.params, "method": "medfilip"})
    own, common = outcome.zero_shot["rsna"]["f1_oracle"], outcome.zero_shot["cxr14"]["common10"]["f1_oracle"]
    assert told(medfilip, outcome)["Zero-shot classification"].endswith(
        f"; F1 oracle, which the MedFILIP paper prints of its own data, {common:.3f} over the 10 most common findings "
        f"on NIH ChestX-ray14 (there 0.288) and {own:.3f} on RSNA Pneumonia (there 0.661)."
    )


def test_a_disease_asked_for_in_four_ways_has_each_figure_under_its_own_words(
    inputs: ReportInputs, outcome: Outcome
) -> None:
    assert told(inputs, outcome)["A disease never seen in training"] == (
        "on COVIDx CXR-4 AUROC 0.830 asked by its explanation, 0.670 by its name, 0.610 by a known disease's name "
        "(“There is pneumonia.”) and 0.750 by that one's explanation. Its explanation is above its name beyond chance "
        "(+0.160, 95 % interval +0.060 to +0.260). Its explanation is above the known disease's name beyond chance "
        "(+0.220, 95 % interval +0.120 to +0.320)."
    )


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ([0.01, 0.2], "is above the known disease's name beyond chance ("),
        ([-0.1, 0.1], "is neither above nor below the known disease's name beyond chance ("),
        ([-0.2, -0.01], "is below the known disease's name beyond chance ("),
    ],
)
def test_whether_an_explanation_beats_a_known_disease_is_said_plainly(
    inputs: ReportInputs, outcome: Outcome, interval: list[float], verdict: str
) -> None:
    asked = {"covidx": {**outcome.tasks["unseen"]["covidx"], "interval": interval}}
    other = replace(outcome, tasks={**outcome.tasks, "unseen": asked})
    assert f"Its explanation {verdict}" in told(inputs, other)["A disease never seen in training"]


def test_tables_hold_the_figures_of_their_task_alone(outcome: Outcome) -> None:
    tables = {table.title: table for table in result_tables(outcome)}
    everywhere, positive = (tables[f"Fine-tuned segmentation, Dice, {words} images"] for words in ("all", "positive"))
    assert everywhere.head == ("training images", "1 %", "10 %", "100 %")
    assert positive.rows[1][:2] == ("SIIM-ACR Pneumothorax, random weights", "0.350 (0.250–0.450)")
    assert everywhere.rows[1] == (
        "SIIM-ACR Pneumothorax, random weights", "0.550 (0.500–0.600)", "0.600 (0.550–0.650)", "0.750 (0.700–0.800)",
    )  # fmt: skip
    assert tables["Retrieval"].rows[0] == ("image to text", "0.300", "0.300", "0.300", "0.040", "0.400", "0.550")
    assert tables["A disease never seen in training, AUROC asked by"].rows == (
        ("COVIDx CXR-4", "0.830", "0.670", "0.750", "0.610"),
    )
    assert all(len(row) == len(table.head) for table in tables.values() for row in table.rows)
    empty = replace(outcome, tasks={task: {} for task in outcome.tasks})
    assert list(result_tables(empty)) == []


def test_what_a_run_evaluates_comes_from_its_parameters() -> None:
    params = {"benchmarks": {"rsna": {}}, "grounding": [], "finding_maps": [], "corpus_benchmarks": ["mimic16"],
              "retrieval": [], "unseen": [], "finetune": {"benchmarks": ["rsna"], "segmentation": []}}  # fmt: skip
    tasks = evaluations(params)
    assert tasks["zero_shot"] == ["rsna", "mimic16"]
    assert tasks["finetune"] == ["rsna"]
    assert tasks["segmentation"] == []


def test_a_model_without_streams_shows_none(inputs: ReportInputs, tmp_path) -> None:
    (tmp_path / "embeddings.json").write_text('{"silhouette": null, "notes": ["one stream"]}')
    assert load_outcome(tmp_path, inputs.params).streams is None


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        ("zero_shot.rsna.f1_oracle", "F1 oracle"),
        ("zero_shot.cxr14.common10.accuracy_oracle", "10 most common findings, accuracy oracle"),
        ("finetune.siim.auroc_10", "AUROC 10 %"),
        ("retrieval.corpus.image_to_text_p_at_10", "image to text P at 10"),
        ("grounding.rsna.iou", "IoU"),
    ],
)
def test_columns_are_titled_as_people_write_metrics(metric: str, title: str) -> None:
    assert column_title(metric) == title
