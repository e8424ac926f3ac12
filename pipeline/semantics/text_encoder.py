"""A frozen Hugging Face text encoder: found by hub id or folder, used to turn prompts into vectors.

Works with any encoder that `AutoModel` loads, such as Bio-ClinicalBERT. Training one from scratch is in
`encoder_training`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import AutoModel, AutoTokenizer, BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from pipeline.errors import ModelError

Pooling = Literal["cls", "mean"]

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
_TOKENIZER_EXTRAS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
_HUB_SECONDS = 5.0  # a hospital's firewall drops packets: do not wait for it


@dataclass(frozen=True)
class TextEncoder:
    """A tokenizer and a frozen encoder in eval mode."""

    tokenizer: PreTrainedTokenizerBase
    model: PreTrainedModel

    @property
    def width(self) -> int:
        """Dimensions of a vector, h."""
        return int(self.model.config.hidden_size)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], pooling: Pooling, batch: int = 32) -> torch.Tensor:
        """Encode texts; what exceeds the model's longest input is cut off.

        Args:
            texts: N texts.
            pooling: `cls`, the state of the first token, or `mean` over all tokens of the text.
            batch: texts at a time, of similar length.

        Returns:
            float32 [N, h], on the CPU.
        """
        vectors = torch.zeros(len(texts), self.width)
        lengths = [len(ids) for ids in self.tokenizer(list(texts))["input_ids"]] if texts else []
        order = sorted(range(len(texts)), key=lambda row: lengths[row])
        for first in range(0, len(order), batch):
            rows = order[first : first + batch]
            vectors[rows] = self._encode_batch([texts[row] for row in rows], pooling)
        return vectors

    def tokenize(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids of texts, cut off at the model's longest input, padded [N, T], and their numbers [N]; int64."""
        tokens = self._tokens(list(texts))
        return tokens["input_ids"], tokens["attention_mask"].sum(1)

    def _encode_batch(self, texts: list[str], pooling: Pooling) -> torch.Tensor:
        tokens = self._tokens(texts).to(self.model.device)
        states = self.model(**tokens).last_hidden_state.float()  # [B, T, h]
        return pool(states, tokens["attention_mask"], pooling).cpu()

    def _tokens(self, texts: list[str]) -> BatchEncoding:
        longest = int(self.model.config.max_position_embeddings)
        # RoBERTa numbers positions from padding_idx + 1, so that its table is longer than its input
        longest = min(longest, int(self.tokenizer.model_max_length))
        tokens: BatchEncoding = self.tokenizer(
            texts, padding=True, truncation=True, max_length=longest, return_tensors="pt"
        )
        return tokens


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """One vector per text.

    Args:
        states: [B, T, h] of the last layer.
        mask: [B, T], 1 for tokens, 0 for padding.
        pooling: `cls` or `mean`.

    Returns:
        [B, h].
    """
    if pooling == "cls":
        return states[:, 0]
    weights = mask.unsqueeze(-1).to(states.dtype)  # [B, T, 1]
    return (states * weights).sum(1) / weights.sum(1)


def load_encoder(source: str, device: str = "cpu") -> TextEncoder:
    """Load an encoder.

    Args:
        source: a folder, or an id on the Hugging Face hub, taken from the local cache where it is there.
        device: to encode on.

    Raises:
        ModelError: the folder lacks a file, the hub cannot be reached, or the weights do not fit the configuration.
    """
    folder = Path(source) if Path(source).is_dir() else _fetch(source)
    _check_files(folder, source)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # `_check_weights` says what matters
    try:
        tokenizer = AutoTokenizer.from_pretrained(  # type: ignore[no-untyped-call]
            folder, local_files_only=True
        )
        model, report = AutoModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, ImportError) as error:
        raise ModelError(
            f"The text encoder {source} cannot be loaded ({_first_line(error)}): copy its files anew from one source."
        ) from error
    _check_weights(report, source)
    return TextEncoder(tokenizer, model.eval().requires_grad_(False).to(device))


def _fetch(source: str) -> Path:
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise ModelError(f"There is no folder {source} with a text encoder: {_what_to_bring(source)}")
    try:
        cached = Path(snapshot_download(source, local_files_only=True))
        if not _missing(cached):
            return cached
    except LocalEntryNotFoundError:
        pass
    return _download(source)


def _download(source: str) -> Path:
    try:
        info = HfApi().model_info(source, timeout=_HUB_SECONDS)
        offered = {file.rfilename for file in info.siblings or ()}
        weights = [name for name in WEIGHTS if name in offered][:1]
        wanted = ["config.json", *weights, *TOKENIZERS, *_TOKENIZER_EXTRAS]
        return Path(snapshot_download(source, allow_patterns=wanted, etag_timeout=_HUB_SECONDS))
    except Exception as error:  # the hub's client raises its own, requests' and the socket's errors
        raise ModelError(
            f"The text encoder {source} is no folder, not in the local cache, and the hub gave none "
            f"({type(error).__name__}): {_what_to_bring(source)}"
        ) from error


def _check_files(folder: Path, source: str) -> None:
    if missing := _missing(folder):
        raise ModelError(f"The text encoder in {source} lacks {' and '.join(missing)}: {_what_to_bring(source)}")


def _missing(folder: Path) -> list[str]:
    present = {path.name for path in folder.iterdir()}
    groups = (("config.json",), WEIGHTS, TOKENIZERS)
    return [" or ".join(group) for group in groups if not present.intersection(group)]


def _what_to_bring(source: str) -> str:
    return (
        f"bring config.json, {' or '.join(WEIGHTS)}, and the tokenizer's files (tokenizer.json, or vocab.txt with "
        f"tokenizer_config.json) into one folder and set text_encoder.source to it, or correct {source!r}."
    )


def _check_weights(report: dict[str, Any], source: str) -> None:
    # a pooler is not used, and encoders trained without one are common
    absent = [name for name in report["missing_keys"] if not name.startswith("pooler.")]
    wrong = absent + [item[0] for item in report["mismatched_keys"]]
    if wrong:
        raise ModelError(
            f"The weights of the text encoder {source} hold no fitting {wrong[0]} ({len(wrong)} are wrong in all): "
            "bring the weights that belong to its config.json."
        )


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")[:200] or type(error).__name__
