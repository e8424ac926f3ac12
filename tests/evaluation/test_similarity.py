import numpy as np
import pytest
import torch

from pipeline.errors import EvaluationError
from pipeline.evaluation.similarity import contrast, cosines

VECTORS = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0], [-2.0, 0.0]])


def test_cosines_by_hand() -> None:
    assert cosines(VECTORS)[0] == pytest.approx([1, 0.6, 0, -1])
    assert cosines(VECTORS)[1] == pytest.approx([0.6, 1, 0.8, -0.6])


def test_contrast_is_within_and_between_diseases() -> None:
    found = contrast(cosines(VECTORS), ["edema", "edema", "mass", "mass"])
    assert found["within"] == pytest.approx((0.6 + 0.0) / 2)
    assert found["between"] == pytest.approx((0 - 1 + 0.8 - 0.6) / 4)
    assert contrast(cosines(VECTORS), ["edema"] * 4)["between"] is None
    assert contrast(cosines(VECTORS), ["a", "b", "c", "d"])["within"] is None


def test_equal_texts_are_alike_and_no_more() -> None:
    matrix = cosines(torch.ones(3, 8) * 0.1)
    assert matrix == pytest.approx(np.ones((3, 3)))
    assert matrix.max() <= 1


@pytest.mark.parametrize("broken", [0.0, float("nan"), float("inf")])
def test_a_vector_without_direction_is_an_error(broken: float) -> None:
    with pytest.raises(EvaluationError, match="0 or not finite"):
        cosines(torch.stack([torch.ones(2), torch.full((2,), broken)]))
