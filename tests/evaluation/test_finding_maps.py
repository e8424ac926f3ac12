"""Maps of diseased against healthy images: who is in them, and the silhouette against a slow one.

UMAP compiles itself for a quarter of a minute, so only one test lets it; the others put a projection in its place.
"""

import numpy as np
import polars as pl
import pytest
import torch

from pipeline import schemas
from pipeline.errors import EvaluationError
from pipeline.evaluation import finding_maps
from pipeline.evaluation.finding_maps import map_findings
from pipeline.evaluation.scorer import Prompts

IMAGES, D = 60, 5
FINDINGS = ["edema", "mass", "nodule"]
IDS = [f"i{k:02}" for k in range(IMAGES)]


class Source:
    ids = IDS[::-1]

    def gather(self, rows):
        return torch.tensor([IMAGES - 1 - int(row) for row in rows])  # an image is its number


class ShiftedScorer:
    """Images below 24 lie `distance` away when asked for edema; noise otherwise."""

    def __init__(self, distance):
        self.distance = distance

    def embed_queries(self, images, prompts):
        points = np.stack([np.random.default_rng(int(image)).normal(size=(len(prompts), D)) for image in images])
        points[(images < 24).numpy(), 0, 0] += self.distance
        return torch.tensor(points, dtype=torch.float32)


@pytest.fixture
def projected(monkeypatch):
    monkeypatch.setattr(finding_maps, "_map", lambda points, seed: points[:, :2])


def tables(sizes=(24, 12, 2), healthy=20):
    """The first images have edema, those after half of them mass too, and so on; the last `healthy` have nothing."""
    images = pl.DataFrame({"image_id": IDS, "patient_id": IDS, "split": ["test"] * IMAGES})
    rows = [(name, finding, int(k < size)) for size, finding in zip(sizes, FINDINGS, strict=True)
            for k, name in enumerate(IDS)]  # fmt: skip
    rows += [(name, "hernia", int(24 <= k < IMAGES - healthy)) for k, name in enumerate(IDS)]  # not prompted
    return images, pl.DataFrame(rows, schema=["image_id", "finding", "label"], orient="row")


def run(distance=0.0, **changes):
    images, labels = tables(**changes)
    prompts = Prompts(tuple(FINDINGS), torch.eye(3, 4))
    return map_findings(ShiftedScorer(distance), Source(), images, labels, prompts, FINDINGS, benchmark="demo")


def test_who_is_in_which_map(projected):
    result = run()
    groups = {key: set(rows["image_id"]) for key, rows in result.points.group_by("finding", "group")}
    healthy = set(IDS[-20:])  # not those whose only finding is not prompted
    assert groups == {
        ("edema", "healthy"): healthy, ("edema", "diseased"): set(IDS[:24]),
        ("mass", "healthy"): healthy, ("mass", "diseased"): set(IDS[:12]),
    }  # fmt: skip
    assert result.metrics["per_class"]["mass"].keys() == {"silhouette", "healthy", "diseased"}
    assert result.metrics["notes"] == ["Fewer than 30 diseased or healthy images in the map: edema, mass."]


def test_each_point_is_its_images_own_embedding(projected):
    for row in run(distance=9.0).points.iter_rows(named=True):
        number, asked = int(row["image_id"][1:]), FINDINGS.index(row["finding"])
        expected = ShiftedScorer(9.0).embed_queries(torch.tensor([number]), FINDINGS)[0, asked, :2]
        assert (row["x"], row["y"]) == pytest.approx(tuple(expected.tolist()), abs=1e-6)


def test_silhouette_by_loop(projected):
    result = run(distance=2.0)
    asked = ShiftedScorer(2.0).embed_queries(torch.arange(IMAGES), FINDINGS)[:, 0].numpy()
    groups, values = (asked[:24], asked[-20:]), []
    for own, other in (groups, groups[::-1]):
        for point in own:
            within = np.linalg.norm(own - point, axis=1).sum() / (len(own) - 1)
            across = np.linalg.norm(other - point, axis=1).mean()
            values.append((across - within) / max(within, across))
    assert result.metrics["per_class"]["edema"]["silhouette"] == pytest.approx(np.mean(values), abs=1e-5)
    both = [row["silhouette"] for row in result.metrics["per_class"].values()]
    assert result.metrics["silhouette"] == pytest.approx(np.mean(both))


def test_apart_mixed_and_constant(projected, monkeypatch):
    assert run(distance=50.0).metrics["per_class"]["edema"]["silhouette"] > 0.8
    assert abs(run(distance=0.0).metrics["per_class"]["edema"]["silhouette"]) < 0.1
    monkeypatch.setattr(ShiftedScorer, "embed_queries", lambda self, images, prompts: torch.ones(len(images), 3, D))
    assert run().metrics["silhouette"] == 0


def test_large_groups_are_thinned_and_few_maps_made(projected, monkeypatch):
    monkeypatch.setattr(finding_maps, "POINTS", 7)
    monkeypatch.setattr(finding_maps, "FINDINGS", 1)
    result = run()
    assert result.points.height == 14
    assert list(result.metrics["per_class"]) == ["edema"]  # the one with the most
    assert result.points.equals(run().points)


def test_umap_keeps_apart_what_is_apart_and_gives_the_same_map_again(tmp_path):
    first, second = run(distance=50.0), run(distance=50.0)
    assert first.points.equals(second.points)
    schemas.write_table(first.points, tmp_path / "points.parquet", schemas.FINDING_POINTS)
    edema = first.points.filter(finding="edema")
    places, diseased = edema.select("x", "y").to_numpy(), (edema["group"] == "diseased").to_numpy()
    gap = np.linalg.norm(places[diseased].mean(0) - places[~diseased].mean(0))
    assert gap > 2 * max(places[some].std(0).max() for some in (diseased, ~diseased))


def test_too_few_images_are_an_error(projected):
    with pytest.raises(EvaluationError, match="demo has no finding with 3 test images beside 3 healthy ones"):
        run(sizes=(2, 1, 0))
    with pytest.raises(EvaluationError, match="leave it out of `finding_maps`"):
        run(healthy=2)


def test_broken_embeddings_are_an_error(projected):
    with pytest.raises(EvaluationError, match="not finite"):
        run(distance=float("nan"))
