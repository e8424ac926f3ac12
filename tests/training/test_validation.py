import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pipeline.training.validation import auroc


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 5), st.booleans())
def test_auroc_against_sklearn(seed, n, queries, ties):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (n, queries)) if ties else rng.normal(size=(n, queries))
    positive, labelled = rng.random((n, queries)) < 0.4, rng.random((n, queries)) < 0.8
    found = auroc(*map(torch.from_numpy, (scores.astype(np.float32), positive, labelled)))
    for query in range(queries):
        kept = labelled[:, query]
        truth = positive[kept, query]
        if truth.any() and not truth.all():
            assert abs(found[query] - roc_auc_score(truth, scores[kept, query])) < 1e-9
        else:
            assert found[query].isnan()


def test_auroc_of_a_labelled_nan_is_undefined():
    scores = torch.tensor([0.1, 0.2, 0.3, 0.4])[:, None].repeat(1, 3)
    scores[1] = torch.nan
    labelled = torch.ones(4, 3, dtype=torch.bool)
    labelled[1, 1] = False
    scores[1, 2] = 0.2
    found = auroc(scores, torch.tensor([[False], [True], [False], [True]]).expand(4, 3), labelled)
    assert found[0].isnan()
    assert found[1:].tolist() == [1.0, 0.75]


@pytest.mark.parametrize("number", [1, 7])
def test_auroc_of_nothing_but_nan_is_undefined(number):
    positive = torch.arange(10) < number
    found = auroc(torch.full((10, 1), torch.nan), positive[:, None], torch.ones(10, 1, dtype=torch.bool))
    assert found.isnan().all()
