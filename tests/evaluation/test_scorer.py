"""MeDSLIP as a scorer against the model itself, and what images and prompts it may be given."""

import polars as pl
import pytest
import torch

from pipeline.errors import EvaluationError
from pipeline.evaluation.scorer import MeDSLIPScorer, Prompts, batches, check_prompts, locate
from pipeline.networks.medslip import MeDSLIP, MeDSLIPConfig

CONFIG = MeDSLIPConfig(
    block="basic", depths=(1, 1), widths=(8, 16), stem=8, channels=1, text_size=6, hidden_size=8, heads=2, layers=2,
    feed_forward=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MeDSLIP(CONFIG)


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def prompts():
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(2))


def asked(vectors):
    return Prompts(tuple(f"finding {number}" for number in range(len(vectors))), vectors)


def ask(model, images, queries):
    with torch.inference_mode():
        return model.eval()(images[:, None].float() / 255, queries, queries[:1], maps=True).pathology


def test_scores_and_maps_are_the_pathology_streams(model, images, prompts):
    scorer = MeDSLIPScorer(model.train(), torch.empty(0, 6))
    output = ask(model, images, prompts)
    torch.testing.assert_close(scorer.score(images, asked(prompts)), output.logits.sigmoid())
    maps = scorer.heat_maps(images, asked(prompts))
    torch.testing.assert_close(maps, output.attention.mean(dim=1).reshape(3, 5, *maps.shape[2:]))
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(3, 5))
    torch.testing.assert_close(scorer.embed_queries(images, asked(prompts)), output.queried)


def test_queries_are_asked_in_company(model, images, prompts):
    some, company = asked(prompts[:2]), prompts[2:]
    output = ask(model, images, prompts)
    scorer = MeDSLIPScorer(model, company)
    torch.testing.assert_close(scorer.score(images, some), output.logits[:, :2].sigmoid())
    assert scorer.heat_maps(images, some).shape[:2] == (3, 2)
    assert not torch.allclose(MeDSLIPScorer(model, company[:0]).score(images, some), scorer.score(images, some))


def test_nobody_is_asked_twice(model, images, prompts):
    scorer = MeDSLIPScorer(model, prompts)
    expected = ask(model, images, prompts).logits[:, [3, 1]].sigmoid()
    torch.testing.assert_close(scorer.score(images, asked(prompts[[3, 1]])), expected)


def test_other_questions_about_the_same_images_cost_no_second_encoding(model, images, prompts, monkeypatch):
    encoded = []
    monkeypatch.setattr(model, "disentangle", lambda x: encoded.append(len(x)) or type(model).disentangle(model, x))
    scorer = MeDSLIPScorer(model, prompts[:0])
    first, _, again = (scorer.score(images, asked(some)) for some in (prompts[:2], prompts[2:], prompts[:2]))
    assert encoded == [3]
    assert first.equal(again)
    other = images.flip(0)
    torch.testing.assert_close(scorer.score(other, asked(prompts[:2])), first.flip(0))
    assert encoded == [3, 3]


def test_embeddings(model, images, prompts):
    scorer = MeDSLIPScorer(model, prompts)
    streams = scorer.embed_streams(images, prompts, prompts[:2])
    with torch.inference_mode():
        output = model(images[:, None].float() / 255, prompts, prompts[:2])
    torch.testing.assert_close(streams.pathology, output.pathology.queried)
    torch.testing.assert_close(streams.anatomy, output.anatomy.queried)
    assert scorer.embed_images(images).shape == (3, 16)
    torch.testing.assert_close(scorer.embed_text(asked(prompts)), model.prompt_projection(prompts).detach())


class Source:
    ids = ("c", "a", "b")

    def gather(self, rows):
        return torch.as_tensor(rows)


def test_locate_orders_by_row_and_leaves_out_what_is_not_decoded():
    found = locate(Source(), pl.DataFrame({"image_id": ["a", "x", "b", "c"]}))
    assert found.rows() == [("c", 0), ("a", 1), ("b", 2)]
    assert locate(Source(), pl.DataFrame({"image_id": []}, schema={"image_id": pl.String})).height == 0
    with pytest.raises(EvaluationError, match="None of 1 images, first x"):
        locate(Source(), pl.DataFrame({"image_id": ["x"]}))


def test_batches_cover_all_rows():
    rows = torch.arange(7).numpy()
    assert [part.tolist() for part in batches(Source(), rows, 3)] == [[0, 1, 2], [3, 4, 5], [6]]


def test_prompts_must_fit_the_findings():
    check_prompts(asked(torch.zeros(2, 3)), ["mass", "edema"], "demo")
    for prompts in (asked(torch.zeros(1, 3)), asked(torch.zeros(2)), Prompts(("one",), torch.zeros(2, 3))):
        with pytest.raises(EvaluationError, match="demo has 2 findings"):
            check_prompts(prompts, ["mass", "edema"], "demo")
