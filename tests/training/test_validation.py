import numpy as np
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
