"""Trains a small BERT from scratch on a corpus's own reports and the explanations, so that no download is needed.

Masked-language modelling on sentences (Devlin et al. 2019), and a contrastive loss that brings together the texts that
describe the same pathology: its explanation, its name and its visual attributes. Without the latter the vectors of so
small a model hardly differ from text to text. Vocabulary and initial token vectors are in `tokens`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from pipeline.errors import ModelError
from pipeline.semantics.text_encoder import pool
from pipeline.semantics.tokens import SPECIAL, token_vectors, train_tokenizer

LONGEST_SENTENCE = 64  # tokens in training
POSITIONS = 256  # tokens of a text in use
PREDICTED = 0.15  # share of a sentence's tokens
HIDDEN = 0.3  # share of a description's tokens
IGNORED = -100
TEMPERATURE = 0.05
SPREAD = 0.02  # of BERT's initial weights
_SENTENCE_END = re.compile(r"(?<=[.:!?])\s+")


@dataclass(frozen=True)
class EncoderConfig:
    """Size and training of the encoder.

    Attributes:
        hidden: width of a vector, h.
        layers: of the transformer, with `heads` attention heads each.
        vocabulary: largest number of tokens.
        steps: of the optimizer, each on `batch` sentences and a quarter as many pairs of descriptions.
        lr: peak learning rate.
        contrast: weight of the contrastive loss.
    """

    hidden: int = 128
    layers: int = 2
    heads: int = 4
    vocabulary: int = 3500
    steps: int = 250
    batch: int = 128
    lr: float = 1e-3
    contrast: float = 0.2


def train_encoder(
    reports: Sequence[str],
    descriptions: Sequence[Sequence[str]],
    held_out: Sequence[str],
    folder: Path,
    config: EncoderConfig,
    seed: int,
) -> dict[str, float]:
    """Train an encoder and save it with its tokenizer as a Hugging Face folder.

    The same arguments and number of threads give the same bytes.

    Args:
        reports: texts of the training split; equal sentences count once.
        descriptions: per pathology two or more texts that mean it, the explanation first. What shall stay unseen must
            not be among them.
        held_out: reports of the validate split, for the figures alone.
        folder: where to save.
        config: size and training.
        seed: of weights, masks and order.

    Returns:
        `loss` and `accuracy` of predicting masked tokens over the last tenth of the steps, `held_out_loss` and
        `held_out_accuracy` over the held-out reports' sentences that training does not hold (if there are any), and
        `matched`, the share of descriptions whose second text finds its first among all.

    Raises:
        ModelError: fewer sentences than one batch holds.
    """
    sentences = _sentences([*reports, *(text for texts in descriptions for text in texts)])
    if len(sentences) < config.batch:
        raise ModelError(
            f"{len(sentences)} different sentences are too few for batches of {config.batch} to train a text encoder: "
            "lower text_encoder.batch or set text_encoder.source to a trained one."
        )
    tokenizer = train_tokenizer(sentences, config.vocabulary, POSITIONS)
    tokens = _tokenize(tokenizer, sentences)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _new_bert(config, tokenizer, token_vectors(tokens, len(tokenizer), config.hidden, seed))
    described = [_tokenize(tokenizer, texts) for texts in descriptions]
    history = _fit(model, tokens, described, config, torch.Generator().manual_seed(seed))
    model.bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    unseen = [sentence for sentence in _sentences(held_out) if sentence not in set(sentences)]
    tail = history[-max(1, config.steps // 10) :].mean(0)
    figures = {"loss": float(tail[0]), "accuracy": float(tail[1]), "matched": _matched(model, described)}
    return figures | _evaluate(model, _tokenize(tokenizer, unseen), config.batch, seed)


def mask_tokens(tokens: torch.Tensor, vocabulary: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """BERT's masking: of 15 % of the tokens, 80 % become [MASK], 10 % a random token, 10 % stay.

    Args:
        tokens: [B, T], special tokens numbered first.
        vocabulary: number of tokens.
        generator: the only source of randomness.

    Returns:
        The corrupted tokens and the targets, both [B, T]; a target is -100 where nothing is to predict.
    """
    chosen = _draw(tokens, PREDICTED, generator)
    kind = torch.rand(tokens.shape, generator=generator)
    random = torch.randint(len(SPECIAL), vocabulary, tokens.shape, generator=generator)
    masked = torch.where(chosen & (kind < 0.8), _MASK, tokens)
    masked = torch.where(chosen & (kind >= 0.9), random, masked)
    return masked, torch.where(chosen, tokens, IGNORED)


_PAD, _MASK = (list(SPECIAL).index(name) for name in ("pad_token", "mask_token"))


def _draw(tokens: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    ordinary = tokens >= len(SPECIAL)
    return ordinary & (torch.rand(tokens.shape, generator=generator) < share)


def _sentences(texts: Sequence[str]) -> list[str]:
    """The distinct sentences of texts, in order; reports repeat themselves."""
    parts = (part.strip() for text in texts for part in _SENTENCE_END.split(text))
    return [part for part in dict.fromkeys(parts) if part]


def _tokenize(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[torch.Tensor]:
    encoded = tokenizer(list(texts), truncation=True, max_length=POSITIONS)["input_ids"] if texts else []
    return [torch.tensor(ids) for ids in encoded]


def _new_bert(config: EncoderConfig, tokenizer: PreTrainedTokenizerFast, vectors: torch.Tensor) -> BertForMaskedLM:
    """An untrained BERT whose token vectors are given; no dropout, the masks are noise enough."""
    shape = BertConfig(  # type: ignore[no-untyped-call]
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=4 * config.hidden,
        max_position_embeddings=POSITIONS,
        pad_token_id=_PAD,
        initializer_range=SPREAD,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForMaskedLM(shape)  # type: ignore[no-untyped-call]
    embeddings = model.bert.embeddings
    embeddings.word_embeddings.weight.data.copy_(SPREAD * vectors)
    # what a word means shall outweigh where it stands
    embeddings.position_embeddings.weight.data.mul_(0.1)
    embeddings.token_type_embeddings.weight.data.zero_()
    return model


def _fit(
    model: BertForMaskedLM,
    sentences: list[torch.Tensor],
    described: list[list[torch.Tensor]],
    config: EncoderConfig,
    generator: torch.Generator,
) -> torch.Tensor:
    """Optimize; returns loss and accuracy of masked tokens per step, [steps, 2]."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=config.steps, pct_start=0.1)
    history = []
    model.train()
    for tokens in _batches(sentences, config, generator):
        loss, accuracy = _masked_language_loss(model, tokens, generator)
        total = loss + config.contrast * _contrastive_loss(model, described, config.batch // 4, generator)
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        history.append(torch.stack([loss.detach(), accuracy]))
    model.eval()  # type: ignore[no-untyped-call]
    return torch.stack(history)


def _batches(
    sentences: list[torch.Tensor], config: EncoderConfig, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """`config.steps` batches [B, T] of sentences of similar length, which saves padding; each once an epoch."""
    lengths = torch.tensor([len(sentence) for sentence in sentences])
    step = 0
    while step < config.steps:
        noisy = lengths * (1 + 0.1 * torch.rand(len(lengths), generator=generator))  # other batches in every epoch
        groups = noisy.argsort()[: len(lengths) // config.batch * config.batch].view(-1, config.batch)
        for group in groups[torch.randperm(len(groups), generator=generator)][: config.steps - step]:
            yield _pad([sentences[row][:LONGEST_SENTENCE] for row in group])
            step += 1


def _pad(texts: Sequence[torch.Tensor]) -> torch.Tensor:
    return nn.utils.rnn.pad_sequence(list(texts), batch_first=True, padding_value=_PAD)


def _masked_language_loss(
    model: BertForMaskedLM, tokens: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy and accuracy of the masked ones of [B, T] tokens."""
    masked, targets = mask_tokens(tokens, model.config.vocab_size, generator)
    chosen = targets != IGNORED
    states = model.bert(masked, tokens != _PAD).last_hidden_state  # [B, T, h]
    logits = model.cls(states[chosen])  # [masked, vocabulary]: only what is predicted, for speed
    accuracy = (logits.argmax(-1) == targets[chosen]).float().mean()
    return F.cross_entropy(logits, targets[chosen]), accuracy


def _contrastive_loss(
    model: BertForMaskedLM, described: list[list[torch.Tensor]], batch: int, generator: torch.Generator
) -> torch.Tensor:
    """InfoNCE in both directions between the first text of some pathologies and another one of each."""
    chosen = torch.randperm(len(described), generator=generator)[:batch].tolist()
    first = [described[row][0] for row in chosen]
    other = [_another(described[row], generator) for row in chosen]
    views = [_embed(model, _hide(_pad(texts), generator)) for texts in (first, other)]
    similarity = views[0] @ views[1].T / TEMPERATURE  # [B, B]
    matching = torch.arange(len(chosen))
    return (F.cross_entropy(similarity, matching) + F.cross_entropy(similarity.T, matching)) / 2


def _another(texts: list[torch.Tensor], generator: torch.Generator) -> torch.Tensor:
    return texts[int(torch.randint(1, len(texts), (), generator=generator))]


def _hide(tokens: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Descriptions with some words masked, so that no single word carries the match."""
    return torch.where(_draw(tokens, HIDDEN, generator), _MASK, tokens)


def _embed(model: BertForMaskedLM, tokens: torch.Tensor) -> torch.Tensor:
    """Mean vectors of length 1, [B, h]."""
    mask = tokens != _PAD
    return F.normalize(pool(model.bert(tokens, mask).last_hidden_state, mask, "mean"), dim=-1)


@torch.inference_mode()
def _matched(model: BertForMaskedLM, described: list[list[torch.Tensor]]) -> float:
    first, second = (_embed(model, _pad([texts[row] for texts in described])) for row in (0, 1))
    return float(((second @ first.T).argmax(1) == torch.arange(len(described))).float().mean())


@torch.inference_mode()
def _evaluate(model: BertForMaskedLM, sentences: list[torch.Tensor], batch: int, seed: int) -> dict[str, float]:
    """Loss and accuracy over all masked tokens of sentences."""
    generator = torch.Generator().manual_seed(seed)
    loss = hits = count = 0.0
    for start in range(0, len(sentences), batch):
        masked, targets = mask_tokens(_pad(sentences[start : start + batch]), model.config.vocab_size, generator)
        chosen = targets != IGNORED
        logits = model.cls(model.bert(masked, masked != _PAD).last_hidden_state[chosen])
        loss += float(F.cross_entropy(logits, targets[chosen], reduction="sum"))
        hits += float((logits.argmax(-1) == targets[chosen]).sum())
        count += float(chosen.sum())
    return {"held_out_loss": loss / count, "held_out_accuracy": hits / count} if count else {}
