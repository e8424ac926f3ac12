import copy
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.errors import TableError
from pipeline.evaluation.segmentation import EMPTY_MASK_RULE
from pipeline.reporting.page import html, write_report
from pipeline.reporting.results import ReportInputs, load_outcome
from pipeline.reporting.story import tell


class Page(HTMLParser):
    """Collects what the checks ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(inputs: ReportInputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    write_report(inputs, out)
    return out


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page((written / "index.html").read_text())


def test_the_page_fetches_nothing_and_runs_nothing(page: Page) -> None:
    assert all(str(image["src"]).startswith("data:image/") for image in page.all("img"))
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe", "object", "video")]
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert "default-src 'none'" in str([attrs.get("content") for attrs in page.all("meta")])


def test_every_figure_has_words_and_every_section_a_heading(page: Page) -> None:
    images = page.all("img")
    assert len(images) == len(page.all("figcaption")) == len(page.all("figure")) > 15
    assert all(len(str(image["alt"])) > 30 for image in images)
    headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1"
    assert set(headings[1:]) == {"h2"}
    assert len(page.all("section")) == headings.count("h2") - 1  # the cautions are an aside
    assert all("scope" in cell for cell in page.all("th"))
    assert page.all("html") == [{"lang": "en"}]


def test_the_answer_comes_first_and_names_whose_figures_are_whose(written: Path, inputs: ReportInputs) -> None:
    text = (written / "index.html").read_text()
    opening = text[text.index("<body>") : text.index("<main>")]
    auroc = load_outcome(inputs.reports, inputs.params).zero_shot["cxr14"]["auroc"]
    assert f"{auroc:.3f}" in opening
    assert "1,724" in opening
    assert "The MeDSLIP paper prints 0.803 on NIH ChestX-ray14" in opening
    assert "of its own data" in opening
    assert "phantoms drawn by this project" in text


def test_how_empty_masks_count_stands_where_dice_is_shown(written: Path) -> None:
    text = (written / "report.md").read_text()
    assert EMPTY_MASK_RULE in text[text.index("## Outlining a finding") : text.index("**Dice over positive images")]


def test_the_contents_lead_to_every_section(page: Page) -> None:
    targets = [str(attrs["href"])[1:] for attrs in page.all("a") if str(attrs["href"]).startswith("#")]
    assert targets == [attrs["id"] for attrs in page.all("section")]
    assert len(set(targets)) == len(targets) > 10


def test_the_same_results_give_the_same_bytes_and_no_old_figures(
    inputs: ReportInputs, written: Path, tmp_path: Path
) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.svg").touch()
    paths = write_report(inputs, tmp_path)
    for path in paths:
        assert path.read_bytes() == (written / path.relative_to(tmp_path)).read_bytes(), path.name
    assert set((tmp_path / "figures").iterdir()) == set(paths[2:])


def test_the_markdown_shows_the_figures_that_are_there(written: Path) -> None:
    text = (written / "report.md").read_text()
    shown = re.findall(r"!\[.+\]\((.+)\)", text)
    assert shown
    assert {f"figures/{path.name}" for path in (written / "figures").iterdir()} == set(shown)
    assert "published: MeDSLIP (MeDSLIP paper)" in text


def test_films_of_patients_are_in_the_page_alone(inputs: ReportInputs, written: Path, tmp_path: Path) -> None:
    real = replace(inputs, params={**inputs.params, "data": {"root": "/data"}}, contact_sheet=None)
    write_report(real, tmp_path)
    films = [path.name for path in (written / "figures").glob("*.png") if path.name.startswith(("heat_map_", "mask_"))]
    assert films
    assert not [path for path in (tmp_path / "figures").iterdir() if path.name in films]
    text = (tmp_path / "report.md").read_text()
    assert not [name for name in films if name in text]
    assert "X-rays are shown in index.html alone" in text
    assert "X-rays are shown in index.html alone" not in (written / "report.md").read_text()
    shown = Page((tmp_path / "index.html").read_text()).all("img")
    assert len(shown) == len(list((tmp_path / "figures").iterdir())) + len(films)


def test_images_that_cannot_be_decoded_are_told(inputs: ReportInputs) -> None:
    outcome = load_outcome(inputs.reports, inputs.params)
    outcome.tasks["zero_shot"]["cxr14"]["counts"]["images_not_decoded"] = 3
    assert any("ChestX-ray14: Left out as they cannot be decoded: 3." in note for note in tell(inputs, outcome).notes)


def test_every_task_with_published_figures_is_set_beside_them(inputs: ReportInputs) -> None:
    story = tell(inputs, load_outcome(inputs.reports, inputs.params))
    compared = dict(story.comparisons)
    retrieval = compared["Retrieval, the corpus' test split"]
    assert retrieval.rows[0].metrics["retrieval.corpus.text_to_image_p_at_10"] == 0.3
    assert "published: MedFILIP (MedFILIP paper)" in [row.name for row in retrieval.rows]
    assert {
        "Zero-shot classification, RSNA Pneumonia", "Zero-shot grounding, RSNA Pneumonia",
        "Fine-tuned classification, SIIM-ACR Pneumothorax", "Fine-tuned segmentation, SIIM-ACR Pneumothorax",
    } <= compared.keys()  # fmt: skip
    assert set(compared["Zero-shot grounding, RSNA Pneumonia"].columns) == {
        f"grounding.rsna.{name}" for name in ("pointing_game", "iou", "dice")
    }


def test_a_run_of_medfilip_stands_beside_its_papers_figures(inputs: ReportInputs) -> None:
    medfilip = replace(inputs, params={**inputs.params, "method": "medfilip"})
    compared = dict(tell(medfilip, load_outcome(inputs.reports, inputs.params)).comparisons)
    for title, names in {
        "RSNA Pneumonia": ("rsna.f1_oracle", "rsna.accuracy_oracle"),
        "NIH ChestX-ray14": ("cxr14.common10.f1_oracle", "cxr14.common10.accuracy_oracle"),
    }.items():
        zero_shot = compared[f"Zero-shot classification, {title}"]
        own, *others = zero_shot.rows
        (theirs,) = (row for row in others if row.name == "published: MedFILIP (MedFILIP paper)")
        shown = {f"zero_shot.{name}" for name in names}
        assert shown <= {*zero_shot.columns} & own.metrics.keys() & theirs.metrics.keys()


def test_what_was_not_computed_is_said(inputs: ReportInputs, tmp_path: Path) -> None:
    shutil.copytree(inputs.reports / "zero_shot", tmp_path / "reports" / "zero_shot")
    story = tell(
        replace(inputs, reports=tmp_path / "reports", contact_sheet=None),
        load_outcome(tmp_path / "reports", inputs.params),
    )
    assert len(story.missing) == 9
    assert "Not computed in this run" in html(story)


def test_a_small_real_corpus_gets_its_cautions(inputs: ReportInputs, tmp_path: Path) -> None:
    (tmp_path / "reports/pretrain").mkdir(parents=True)
    (tmp_path / "reports/pretrain/metrics.json").write_text('{"train_images": 70, "best_epoch": 3}')
    params = {**inputs.params, "data": {"root": "elsewhere"}, "corpus": {"name": "covid_chestxray"}}
    story = tell(ReportInputs(tmp_path / "reports", None, params), load_outcome(tmp_path / "reports", inputs.params))
    assert story.title == "MeDSLIP on covid-chestxray"
    assert any("70 images only" in caution for caution in story.cautions)
    assert not any("phantom" in caution for caution in story.cautions)


def test_cautions_are_on_the_run_and_notes_on_its_evaluations(inputs: ReportInputs) -> None:
    outcome = load_outcome(inputs.reports, inputs.params)
    small = copy.deepcopy(outcome.zero_shot["rsna"]) | {"notes": ["Left out of the macro means: mass."]}
    small["counts"]["images"] = 43
    tasks = {**outcome.tasks, "zero_shot": {**outcome.zero_shot, "rsna": small}}
    story = tell(inputs, replace(outcome, tasks=tasks))
    assert "Zero-shot classification, RSNA Pneumonia: Left out of the macro means: mass." in story.notes
    assert "notes at the end" in story.cautions[-1]
    assert "Fewer than 100 test images, so that the figures mean little: RSNA Pneumonia (43)." in story.cautions


BROKEN = (
    "triplets.json", "zero_shot/rsna.json", "zero_shot/rsna.parquet", "grounding/rsna.safetensors",
    "pretrain/curves.csv", "finetune/siim.json", "segmentation/siim.safetensors", "finding_maps/cxr14.parquet",
    "case_study.json",
)  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_an_unreadable_result_is_named(inputs: ReportInputs, tmp_path: Path, name: str) -> None:
    shutil.copytree(inputs.reports, tmp_path / "reports")
    (tmp_path / "reports" / name).write_bytes(b"[broken")
    with pytest.raises(TableError, match=name):
        load_outcome(tmp_path / "reports", inputs.params)


def test_an_imported_model_is_said_to_be_one(inputs: ReportInputs, tmp_path: Path) -> None:
    shutil.copytree(inputs.reports, tmp_path / "reports")
    pretrain = tmp_path / "reports" / "pretrain"
    (pretrain / "metrics.json").write_text('{"imported": "models/imported/medslip-0123", "validation_images": 9}')
    (pretrain / "curves.csv").write_text("step,epoch,loss,validation_loss\n")
    write_report(replace(inputs, reports=tmp_path / "reports"), tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "MeDSLIP was not trained here but imported (models/imported/medslip-0123)" in text
    assert "whether it saw any of these images" in text
    assert "pre-trained on" not in text.split("## ")[0]
    assert not (tmp_path / "out" / "figures" / "loss.svg").exists()
    assert (tmp_path / "out" / "figures" / "streams.svg").exists() or (
        tmp_path / "out" / "figures" / "streams.png"
    ).exists()
