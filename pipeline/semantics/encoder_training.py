"""Trains a small BERT from scratch on a corpus's own reports, so that no download is needed.

Masked-language modelling (Devlin et al. 2019) on two differently masked views of every text, and, between the views'
mean vectors, the contrastive loss of SimCSE (Gao et al. 2021): without it the vectors of a model this small hardly differ
from text to text. A byte-level vocabulary serves any language.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from pipeline.errors import ModelError
from pipeline.semantics.text_encoder import pool

LONGEST = 128  # tokens of a text in training
POSITIONS = 256  # tokens of a text in use
MASKED = 0.15  # share of the tokens to predict
IGNORED = -100
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TEMPERATURE = 0.05


@dataclass(frozen=True)
class EncoderConfig:
    """Size and training of the encoder.

    Attributes:
        hidden: width of a vector, h; layers and heads of the transformer.
        vocabulary: largest number of tokens.
        steps: optimizer steps of `batch` texts each; lr is the peak learning rate.
        contrast: weight of the contrastive loss.
    """

    hidden: int = 256
    layers: int = 4
    heads: int = 4
    vocabulary: int = 3500
    steps: int = 300
    batch: int = 32
    lr: float = 5e-4
    contrast: float = 0.1


def train_encoder(
    texts: Sequence[str], held_out: Sequence[str], folder: Path, config: EncoderConfig, seed: int
) -> dict[str, float]:
    """Train an encoder and save it with its tokenizer as a Hugging Face folder.

    The same texts, config, seed and number of threads give the same bytes.

    Args:
        texts: training reports and explanations; equal ones count once.
        held_out: reports of the validate split, for the figures alone.
        folder: where to save.
        config: size and training.
        seed: of weights, masks and order.

    Returns:
        `loss`, `accuracy` on the last tenth of the steps, `held_out_loss`, `held_out_accuracy` (of predicting masked tokens), and
        `vocabulary`, its tokens.

    Raises:
        ModelError: fewer texts than one batch holds.
    """
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    if len(distinct) < config.batch:
        raise ModelError(
            f"{len(distinct)} different texts are too few for batches of {config.batch} to train a text encoder: "
            "lower text_encoder.batch or set text_encoder.source to a trained one."
        )
    tokenizer = train_tokenizer(distinct, config.vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # weights and dropout
        model = BertForMaskedLM(_bert_config(config, tokenizer))
        generator = torch.Generator().manual_seed(seed)
        history = _fit(model, _tokenize(tokenizer, distinct), config, generator)
    _save(model, tokenizer, folder)
    tail = history[-max(1, config.steps // 10) :].mean(0)
    loss, accuracy = _evaluate(model, _tokenize(tokenizer, held_out), config.batch, seed)
    return {
        "loss": float(tail[0]),
        "accuracy": float(tail[1]),
        "held_out_loss": loss,
        "held_out_accuracy": accuracy,
        "vocabulary": len(tokenizer),
    }


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a lower-case byte-level BPE tokenizer with BERT's special tokens.

    Byte pairs and not WordPiece, whose trainer numbers its tokens differently in every process.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    special = dict(zip(names, SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS, **special)


def _bert_config(config: EncoderConfig, tokenizer: PreTrainedTokenizerFast) -> BertConfig:
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=4 * config.hidden,
        max_position_embeddings=POSITIONS,
        pad_token_id=tokenizer.pad_token_id,
    )


def _tokenize(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[torch.Tensor]:
    encoded = tokenizer(list(texts), truncation=True, max_length=LONGEST)["input_ids"] if texts else []
    return [torch.tensor(ids) for ids in encoded]


def _fit(
    model: BertForMaskedLM, texts: list[torch.Tensor], config: EncoderConfig, generator: torch.Generator
) -> torch.Tensor:
    """Optimize; returns loss and accuracy of masked tokens per step, [steps, 2]."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=config.steps, pct_start=0.1)
    history = []
    model.train()
    for tokens in _batches(texts, config, generator):
        loss, figures = _losses(model, tokens, config.contrast, generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        history.append(figures)
    model.eval()
    return torch.stack(history)


def _batches(texts: list[torch.Tensor], config: EncoderConfig, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """`config.steps` batches [B, T] of texts of similar length, which saves padding; each text once an epoch."""
    lengths = torch.tensor([len(text) for text in texts])
    step = 0
    while True:
        # sorted by length with noise, so that batches differ from epoch to epoch
        noisy = lengths * (1 + 0.1 * torch.rand(len(texts), generator=generator))
        groups = noisy.argsort().split(config.batch)
        for group in torch.randperm(len(groups), generator=generator).tolist():
            if len(groups[group]) < config.batch:
                continue
            yield nn.utils.rnn.pad_sequence([texts[row] for row in groups[group]], batch_first=True)
            step += 1
            if step == config.steps:
                return


def _losses(
    model: BertForMaskedLM, tokens: torch.Tensor, contrast: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Masked-language loss of two views of [B, T] tokens plus the weighted contrast between them."""
    views = torch.cat([tokens, tokens])  # [2B, T]
    mask = views != model.config.pad_token_id
    masked, targets = mask_tokens(views, model.config.vocab_size, generator)
    states = model.bert(masked, mask).last_hidden_state  # [2B, T, h]
    chosen = targets != IGNORED
    logits = model.cls(states[chosen])  # [masked tokens, vocabulary]
    loss = F.cross_entropy(logits, targets[chosen])
    accuracy = (logits.argmax(-1) == targets[chosen]).float().mean()
    first, second = F.normalize(pool(states, mask, "mean"), dim=-1).chunk(2)  # [B, h] each
    similarity = first @ second.T / TEMPERATURE  # [B, B]
    agreement = F.cross_entropy(similarity, torch.arange(len(first)))
    return loss + contrast * agreement, torch.stack([loss.detach(), accuracy])


def mask_tokens(tokens: torch.Tensor, vocabulary: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """BERT's masking: of 15 % of the tokens, 80 % become [MASK], 10 % a random token, 10 % stay.

    Args:
        tokens: [B, T], special tokens numbered first.
        vocabulary: number of tokens.
        generator: the only source of randomness.

    Returns:
        The corrupted tokens and the targets, both [B, T]; a target is -100 where nothing is to predict.
    """
    ordinary = tokens >= len(SPECIAL)
    chosen = ordinary & (torch.rand(tokens.shape, generator=generator) < MASKED)
    kind = torch.rand(tokens.shape, generator=generator)
    random = torch.randint(len(SPECIAL), vocabulary, tokens.shape, generator=generator)
    masked = torch.where(chosen & (kind < 0.8), SPECIAL.index("[MASK]"), tokens)
    masked = torch.where(chosen & (kind >= 0.9), random, masked)
    return masked, torch.where(chosen, tokens, IGNORED)


@torch.inference_mode()
def _evaluate(model: BertForMaskedLM, texts: list[torch.Tensor], batch: int, seed: int) -> tuple[float, float]:
    """Loss and accuracy over all masked tokens of texts; nan without any."""
    generator = torch.Generator().manual_seed(seed)
    loss = hits = count = 0.0
    for first in range(0, len(texts), batch):
        tokens = nn.utils.rnn.pad_sequence(texts[first : first + batch], batch_first=True)
        masked, targets = mask_tokens(tokens, model.config.vocab_size, generator)
        chosen = targets != IGNORED
        logits = model.cls(model.bert(masked, tokens != model.config.pad_token_id).last_hidden_state[chosen])
        loss += float(F.cross_entropy(logits, targets[chosen], reduction="sum"))
        hits += float((logits.argmax(-1) == targets[chosen]).sum())
        count += float(chosen.sum())
    return (loss / count, hits / count) if count else (float("nan"), float("nan"))


def _save(model: BertForMaskedLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    model.bert.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
