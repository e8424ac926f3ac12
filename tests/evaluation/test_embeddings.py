"""The map of the two streams: who is who, determinism, and the silhouette against a slow one."""

import numpy as np
import pytest
import torch

from pipeline.errors import EvaluationError
from pipeline.evaluation.embeddings import Queries, map_streams
from pipeline.evaluation.scorer import Streams

IMAGES, D = 40, 6


class Source:
    ids = tuple(f"i{k:02}" for k in range(IMAGES))

    def gather(self, rows):
        return torch.as_tensor(np.array(rows))


class ShiftedScorer:
    """Two clouds, `distance` apart along the first axis."""

    def __init__(self, distance):
        self.distance = distance

    def embed_streams(self, images, pathologies, anatomies):
        return Streams(*(self.cloud(images, prompts, k) for k, prompts in enumerate((pathologies, anatomies))))

    def cloud(self, images, prompts, stream):
        noise = [np.random.default_rng([int(image), stream]).normal(size=(len(prompts), D)) for image in images]
        points = torch.tensor(np.stack(noise))
        points[..., 0] += stream * self.distance
        return points


PATHOLOGY = Queries(["edema", "mass"], torch.zeros(2, 4))
ANATOMY = Queries(["heart", "lung", "aorta"], torch.zeros(3, 4))


def run(distance=0.0, seed=0, points=60, rows=IMAGES):
    return map_streams(ShiftedScorer(distance), Source(), np.arange(rows), PATHOLOGY, ANATOMY, seed, points)


@pytest.fixture(scope="module")
def apart():
    return run(distance=50.0)


def test_points_say_what_they_are(apart):
    points = apart.points
    assert set(points.columns) == {"x", "y", "stream", "query", "image_id"}
    assert dict(points.group_by("stream").len().iter_rows()) == {"pathology": 60, "anatomy": 60}
    assert set(points.filter(stream="pathology")["query"]) == {"edema", "mass"}
    assert set(points.filter(stream="anatomy")["query"]) == {"heart", "lung", "aorta"}
    assert not points.select("stream", "query", "image_id").is_duplicated().any()
    assert np.isfinite(points.select("x", "y").to_numpy()).all()


def test_streams_apart_and_mixed(apart):
    assert apart.silhouette > 0.8
    assert abs(run(distance=0.0).silhouette) < 0.05
    places = apart.points.select("x", "y").to_numpy()
    pathology = (apart.points["stream"] == "pathology").to_numpy()
    gap = np.linalg.norm(places[pathology].mean(0) - places[~pathology].mean(0))
    assert gap > places[pathology].std()


def test_the_same_seed_gives_the_same_map(apart):
    again = run(distance=50.0)
    assert again.points.equals(apart.points)
    assert again.silhouette == apart.silhouette
    assert not run(distance=50.0, seed=1).points.equals(apart.points)


def test_silhouette_by_loop():
    cloud = ShiftedScorer(2.0)
    streams = cloud.embed_streams(np.arange(IMAGES), PATHOLOGY.prompts, ANATOMY.prompts)
    points = [part.flatten(0, 1).numpy() for part in streams]
    values = []
    for own, other in (points, points[::-1]):
        for point in own:
            within = np.linalg.norm(own - point, axis=1).sum() / (len(own) - 1)
            across = np.linalg.norm(other - point, axis=1).mean()
            values.append((across - within) / max(within, across))
    assert run(distance=2.0, points=1000).silhouette == pytest.approx(np.mean(values), abs=1e-5)


def test_too_few_points_are_an_error():
    with pytest.raises(EvaluationError, match="too few"):
        run(rows=5)


def test_broken_embeddings_are_an_error():
    with pytest.raises(EvaluationError, match="not finite"):
        run(distance=float("nan"))
