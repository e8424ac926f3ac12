"""MedFILIP's part of pre-training: its structured labels, the text transformer to start from, and its settings."""

from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors.torch import load_file

from pipeline.images.shards import ImageShards
from pipeline.losses.medfilip import ITMConfig
from pipeline.networks.medfilip import MedFILIPConfig
from pipeline.params import Params
from pipeline.schemas import LABEL_TEXTS, read_table
from pipeline.semantics.label_indices import LabelIndices
from pipeline.semantics.text_encoder import TextEncoder, load_encoder
from pipeline.training.augmentation import AugmentConfig
from pipeline.training.data import Examples
from pipeline.training.medfilip import LabelTexts, MedFILIPMethod
from stages.trained import LABEL_VECTORS, LABELS, split_images

NAME = "MedFILIP"
ENCODER = Path("models/text_encoder")
INPUTS = (LABELS, LABEL_VECTORS, ENCODER)


def method(params: Params) -> MedFILIPMethod:
    """The method with its texts."""
    encoder = load_encoder(str(ENCODER))
    text_weights = {k: v for k, v in encoder.model.state_dict().items() if not k.startswith("pooler.")}
    return MedFILIPMethod(
        MedFILIPConfig(text=_architecture(encoder), **params.model.model_dump(exclude={"imported"})),
        ITMConfig(**params.loss.model_dump(), **params.labels.model_dump(include={"unmentioned", "uncertain"})),
        label_texts(encoder),
        AugmentConfig(**params.augment.model_dump()),
        text_weights,
        ENCODER,
    )


def examples(split: str) -> Examples:
    """The images of a split with their structured labels."""
    shards = ImageShards(Path("data/images/corpus"))
    images = split_images(split, shards.ids)
    labels = LabelIndices.load(LABELS, images["study_id"].to_list(), len(_texts()))
    return Examples.of(shards, shards.row_of(images["image_id"]), labels)


def label_texts(encoder: TextEncoder) -> LabelTexts:
    """All labels, tokenised once for all steps."""
    table = _texts()
    tokens, lengths = encoder.tokenize(table["text"].to_list())
    alone = table.filter(pl.col("index") == pl.col("plain"), pl.col("category").is_not_null())
    plain, mirror = (torch.from_numpy(table[name].to_numpy().astype("int64")) for name in ("plain", "mirror"))
    vectors = load_file(LABEL_VECTORS)["labels"]
    return LabelTexts(tuple(alone["category"]), tokens, lengths, vectors, plain, mirror)


@cache
def _texts() -> pl.DataFrame:
    return read_table(LABELS / "texts.parquet", LABEL_TEXTS)


def _architecture(encoder: TextEncoder) -> dict[str, Any]:
    """The text transformer's configuration, without what names files and versions."""
    left_out = {"_name_or_path", "architectures", "transformers_version", "dtype", "torch_dtype"}
    return {name: value for name, value in encoder.model.config.to_dict().items() if name not in left_out}
