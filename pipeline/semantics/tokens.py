"""The vocabulary of a text encoder trained from scratch, and vectors for its tokens to start from.

Both come from the corpus alone and are the same in every process. The encoder itself is in `encoder_training`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_array
from sklearn.utils.extmath import randomized_svd
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
WINDOW = 8  # tokens to either side that count as company


def train_tokenizer(texts: Sequence[str], vocabulary: int, longest: int) -> PreTrainedTokenizerFast:
    """Train a lower-case byte-level BPE tokenizer for any language, with BERT's special tokens numbered from 0.

    Byte pairs and not WordPiece, whose trainer numbers its tokens differently in every process.

    Args:
        texts: what to learn from.
        vocabulary: largest number of tokens, the 256 bytes and the special tokens included.
        longest: tokens of the longest input that the tokenizer shall give.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, model_max_length=longest, **SPECIAL
    )


def token_vectors(texts: Sequence[torch.Tensor], vocabulary: int, width: int, seed: int) -> torch.Tensor:
    """Vectors of tokens by the company they keep.

    The positive pointwise mutual information of tokens at most `WINDOW` apart (contexts smoothed by the power 0.75),
    reduced by a randomized SVD (Levy, Goldberg and Dagan 2015).

    Args:
        texts: token ids of each text, [T].
        vocabulary: number of tokens, V.
        width: dimensions, h.
        seed: of the SVD's start and of the vectors of tokens without company.

    Returns:
        float32 [V, h], each row of mean square 1.
    """
    rng = np.random.default_rng(seed)
    information = _mutual_information(_cooccurrence(texts, vocabulary))
    rank = min(width, vocabulary - 1)
    left, strength, _ = randomized_svd(information, rank, n_iter=4, random_state=seed)
    vectors = np.zeros((vocabulary, width))
    vectors[:, :rank] = left * np.sqrt(strength)
    lonely = np.linalg.norm(vectors, axis=1) < 1e-6
    vectors[lonely] = rng.standard_normal((int(lonely.sum()), width))
    vectors /= np.sqrt(np.mean(vectors**2, axis=1, keepdims=True))
    return torch.from_numpy(vectors).float()


def _cooccurrence(texts: Sequence[torch.Tensor], vocabulary: int) -> csr_array:
    """How often two tokens are at most `WINDOW` apart in a text, [V, V], symmetric."""
    tokens = torch.cat(list(texts)).numpy()
    text = np.repeat(np.arange(len(texts)), [len(ids) for ids in texts])
    counts = csr_array((vocabulary, vocabulary), dtype=np.float64)
    for distance in range(1, WINDOW + 1):
        together = text[:-distance] == text[distance:]
        first, second = tokens[:-distance][together], tokens[distance:][together]
        counts += csr_array((np.ones(len(first)), (first, second)), shape=counts.shape)
    return csr_array(counts + counts.T)


def _mutual_information(counts: csr_array) -> csr_array:
    pairs = counts.tocoo()
    first, second = pairs.coords
    frequency = counts.sum(0)
    context = frequency**0.75 / (frequency**0.75).sum()
    information = np.log(pairs.data / (frequency[first] * context[second]))
    positive = information > 0
    return csr_array((information[positive], (first[positive], second[positive])), shape=counts.shape)
