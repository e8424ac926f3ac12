import hashlib

import numpy as np
import torch

from pipeline.semantics.tokens import SPECIAL, WINDOW, token_vectors, train_tokenizer

TEXTS = [
    f"there is {size} {what} at the {where}."
    for size in ("a small", "no", "large")
    for what in ("effusion", "nodule", "pneumothorax")
    for where in ("left base", "right apex", "hilum")
]
DIGEST = "ca0aad831c62a253e222650fa8e8404b3277846b45fd56e44e8b0b1b8464ba16"  # computed once, elsewhere


def test_the_vocabulary_is_the_same_in_every_process() -> None:
    text = train_tokenizer(TEXTS, 400, 64).backend_tokenizer.to_str()
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_special_tokens_come_first_and_frame_a_text() -> None:
    tokenizer = train_tokenizer(TEXTS, 400, 64)
    assert tokenizer.convert_ids_to_tokens(range(len(SPECIAL))) == list(SPECIAL.values())
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("A small effusion")["input_ids"])
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
    assert len(tokenizer) <= 400


def test_any_language_is_encoded_without_unknown_tokens() -> None:
    tokenizer = train_tokenizer(TEXTS, 400, 64)
    for text in ("Pleuraerguß beidseits", "胸腔积液", "плевральный выпот"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        assert decoded.replace(" ", "") == text.lower().replace(" ", "")


def dense_mutual_information(texts: list[torch.Tensor], vocabulary: int) -> np.ndarray:
    counts = np.zeros((vocabulary, vocabulary))
    for text in texts:
        for i, first in enumerate(text.tolist()):
            for j, second in enumerate(text.tolist()):
                counts[first, second] += 0 < abs(i - j) <= WINDOW
    frequency = counts.sum(0)
    context = frequency**0.75 / (frequency**0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(counts / (frequency[:, None] * context))
    return np.where(information > 0, information, 0)


def test_token_vectors_are_the_svd_of_the_mutual_information() -> None:
    rng = np.random.default_rng(0)
    texts = [torch.from_numpy(rng.choice(12, size=rng.integers(1, 20), p=np.arange(12) / 66)) for _ in range(30)]
    left, strength, _ = np.linalg.svd(dense_mutual_information(texts, 13))
    expected = left[:, :12] * np.sqrt(strength[:12])
    expected /= np.sqrt(np.mean(expected**2, axis=1, keepdims=True) + 1e-30)
    vectors = token_vectors(texts, 13, 12, seed=0).numpy()
    used = np.unique(torch.cat(texts))
    # an SVD's signs are free: compare the products of rows
    got, wanted = ((rows @ rows.T)[np.ix_(used, used)] for rows in (vectors, expected))
    np.testing.assert_allclose(got, wanted, atol=1e-4)
    np.testing.assert_allclose(np.mean(vectors**2, axis=1), 1, atol=1e-5)  # those of unused tokens too


def test_words_in_like_company_have_like_vectors() -> None:
    tokenizer = train_tokenizer(TEXTS, 400, 64)
    texts = [torch.tensor(tokenizer(text)["input_ids"]) for text in TEXTS]
    vectors = torch.nn.functional.normalize(token_vectors(texts, len(tokenizer), 16, seed=0), dim=1)
    effusion, nodule, apex = (vectors[tokenizer(" " + word)["input_ids"][1]] for word in ("effusion", "nodule", "apex"))
    assert effusion @ nodule > effusion @ apex
