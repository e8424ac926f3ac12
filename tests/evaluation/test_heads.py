"""Linear heads against scikit-learn; the validation images alone choose; full fine-tuning moves the encoder's copy."""

import numpy as np
import pytest
import torch
from finetuning_squares import squares
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pipeline.errors import TrainingError
from pipeline.evaluation.fitting import FitConfig
from pipeline.evaluation.heads import STRENGTHS, best_linear_head, fit_linear_heads, macro_auroc, tune_encoder
from pipeline.evaluation.subsets import LabelledImages
from pipeline.networks.backbone import PatchEncoder
from pipeline.training.augmentation import AugmentConfig


def features_and_labels(n, d, findings=3, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    features = (features - features.mean(0)) / features.std(0)
    labels = (features[:, :findings] + 2 * rng.normal(size=(n, findings)) > np.arange(findings) / 2).astype(np.int8)
    return features, labels


@pytest.mark.parametrize(("n", "d"), [(300, 12), (12, 40)])
def test_heads_are_those_of_scikit_learn(n, d):
    features, labels = features_and_labels(n, d)
    heads = fit_linear_heads(torch.from_numpy(features), torch.from_numpy(labels), STRENGTHS)
    for g, strength in enumerate(STRENGTHS):
        for c in range(3):
            reference = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(features, labels[:, c])
            found = torch.sigmoid(torch.from_numpy(features) @ heads.weights[g] + heads.biases[g])[:, c]
            np.testing.assert_allclose(found, reference.predict_proba(features)[:, 1], atol=2e-3)


def test_images_without_a_label_and_findings_of_one_kind_teach_nothing():
    features, labels = features_and_labels(80, 5)
    hidden = labels.copy()
    hidden[40:, 0], hidden[:, 2] = -1, 1
    heads = fit_linear_heads(torch.from_numpy(features), torch.from_numpy(hidden), (0.1,))
    reference = LogisticRegression(C=0.1, tol=1e-10).fit(features[:40], labels[:40, 0])
    np.testing.assert_allclose(heads.weights[0, :, 0], reference.coef_[0], atol=2e-3)
    assert not heads.weights[0, :, 2].any()
    assert not heads.biases[0, 0, 2].any()


def test_validation_chooses_the_penalty_and_test_labels_do_not_matter():
    features, labels = features_and_labels(200, 60)
    train, validation = np.arange(60), np.arange(60, 120)
    best = best_linear_head(torch.from_numpy(features), labels, train, validation)
    own = features[train]
    scaled = (features - own.mean(0)) / own.std(0)
    heads = fit_linear_heads(torch.from_numpy(scaled[train]), torch.from_numpy(labels[train]), STRENGTHS)
    candidates = torch.sigmoid(torch.from_numpy(scaled) @ heads.weights + heads.biases).numpy()
    worth = [roc_auc_score(labels[validation], one[validation]) for one in candidates]
    assert len(set(worth)) > 1
    np.testing.assert_allclose(best, candidates[int(np.argmax(worth))], atol=1e-4)
    changed = labels.copy()
    changed[120:] = 1 - changed[120:]
    np.testing.assert_array_equal(best, best_linear_head(torch.from_numpy(features), changed, train, validation))


def test_macro_auroc_is_scikit_learns_over_what_can_be_scored():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 2, (50, 4)).astype(np.int8)
    labels[:, 3] = 1
    scores = rng.integers(0, 6, (50, 4)).astype(np.float32)  # with ties
    known = labels >= 0
    expected = [roc_auc_score(labels[known[:, c], c], scores[known[:, c], c]) for c in range(3)]
    assert macro_auroc(labels, scores) == pytest.approx(np.mean(expected))
    assert macro_auroc(labels[:, :3], np.ones((50, 3), np.float32)) == 0.5


def tune(lr=0.01, seed=0):
    source, images, labels, _, _ = squares()
    labelled = LabelledImages.of(source, images, labels)
    torch.manual_seed(0)
    encoder = PatchEncoder("basic", (1,), (8,), 4, 1).eval()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    train, validation = labelled.places("train"), labelled.places("validate")
    config, variation = FitConfig(20, 16, lr, 0.0), AugmentConfig(crop=(0.9, 1.0), operations=1)
    found = tune_encoder(encoder, source, labelled, train, validation, config, variation, seed)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
    return found, labelled


def test_full_fine_tuning_learns_and_repeats_and_leaves_the_encoder_alone():
    found, labelled = tune()
    assert found.shape == labelled.labels.shape
    test = labelled.places("test")
    assert macro_auroc(labelled.labels[test], found[test]) > 0.8
    np.testing.assert_array_equal(found, tune()[0])
    assert not np.array_equal(found, tune(seed=1)[0])


def test_a_diverging_training_says_so():
    with pytest.raises(TrainingError, match="lower the learning rate"):
        tune(lr=1e30)
