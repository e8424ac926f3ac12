"""How alike the texts of different diseases and severities look to a text model: cosines, and what they tell apart."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import EvaluationError


def cosines(vectors: Tensor) -> NDArray[np.float64]:
    """Cosine similarity of every two of n vectors [n, h]: [n, n] in [-1, 1].

    Raises:
        EvaluationError: a vector is 0 or not finite.
    """
    values = vectors.double().numpy()
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise EvaluationError("The vector of a text is 0 or not finite: train the model or the text encoder anew.")
    unit = values / lengths
    matrix: NDArray[np.float64] = np.clip(unit @ unit.T, -1, 1)
    return matrix


def contrast(matrix: NDArray[np.float64], diseases: Sequence[str]) -> dict[str, float | None]:
    """Mean cosine of two severities of one disease, and of texts of two diseases.

    Args:
        matrix: [n, n].
        diseases: of the n texts.

    Returns:
        `within` and `between`; null where there are no such texts.
    """
    names = np.asarray(diseases)
    same, other = names[:, None] == names[None], ~np.eye(len(names), dtype=bool)
    parts = {"within": matrix[same & other], "between": matrix[~same]}
    return {name: float(part.mean()) if part.size else None for name, part in parts.items()}
