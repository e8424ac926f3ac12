"""A tiny MedFILIP with a tokenizer of a few words."""

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from pipeline.networks.medfilip import MedFILIPConfig

WORDS = ("edema", "mass", "left", "right", "lung", "mild", "severe", "normal", "white", "round", "blurred")
CONFIG = MedFILIPConfig(
    text={
        "model_type": "bert", "vocab_size": 4 + len(WORDS), "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 12, "pad_token_id": 0,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    },
    block="basic", depths=(1, 1), widths=(8, 16), stem=8, channels=1, embed=6, scale=10.0, bias=-1.0,
)  # fmt: skip


def tokenizer():
    vocabulary = {word: index for index, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS))}
    tokens = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokens, model_max_length=12, **names)
