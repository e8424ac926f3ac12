"""A RadGraph archive with random weights, of any size, that the package's own code loads."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig

LABELS = ("Anatomy::definitely present", "Observation::definitely present", "Observation::definitely absent")
RELATIONS = ("modify", "located_at", "suggestive_of")
TINY = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
_WORDS = (
    "the", "no", "left", "right", "lung", "lower", "lobe", "effusion", "small", "is", "are", "of", "with", "heart",
    "opacity", "pleural", "pneumothorax", "edema", "normal", "size", "##s", "##al", "##es", "##ies", "##ing",
)  # fmt: skip


def write_archive(root: Path, model: str = "radgraph-xl", bert: BertConfig = TINY, longest: int = 512) -> Path:
    """Write `root/model` with BERT's files in `bert/` inside it; the same arguments give the same weights."""
    archive = root / model
    pieces = write_bert(archive / "bert", bert)
    _write_vocabulary(archive / "vocabulary", model)
    bert.vocab_size = pieces
    (archive / "config.json").write_text(json.dumps(_config(longest), indent=1))
    torch.manual_seed(0)
    network = _network(archive)
    _liven(network)
    torch.save(network.state_dict(), archive / "weights.th")
    return archive


def write_bert(folder: Path, bert: BertConfig) -> int:
    """Write configuration and WordPiece vocabulary, no weights; returns the size of the vocabulary."""
    folder.mkdir(parents=True)
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS, *letters, *(f"##{c}" for c in letters)]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(pieces)) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "model_max_length": 512}))
    bert.vocab_size = len(dict.fromkeys(pieces))
    bert.save_pretrained(folder)
    return bert.vocab_size


def _write_vocabulary(folder: Path, model: str) -> None:
    folder.mkdir()
    (folder / "non_padded_namespaces.txt").write_text("*labels\n*tags\n")
    (folder / f"{model}__ner_labels.txt").write_text("\n".join(["", *LABELS]) + "\n")
    (folder / f"{model}__relation_labels.txt").write_text("\n".join(RELATIONS) + "\n")


def _config(longest: int) -> dict[str, Any]:
    """The options of the published archives that matter to inference."""
    bert = {"type": "pretrained_transformer_mismatched", "model_name": "some-lab/some-bert", "max_length": longest}
    coreference = {"spans_per_word": 0.3, "max_antecedents": 100, "coref_prop": 0}
    events = {"trigger_spans_per_word": 0.3, "argument_spans_per_word": 0.8, "loss_weights": {"trigger": 0.2}}
    return {
        "dataset_reader": {"type": "dygie", "max_span_width": 8, "token_indexers": {"bert": bert}},
        "model": {
            "type": "dygie",
            "embedder": {"token_embedders": {"bert": bert}},
            "initializer": {},
            "module_initializer": {},
            "modules": {"ner": {}, "coref": coreference, "relation": {"spans_per_word": 0.5}, "events": events},
            "feature_size": 20,
            "max_span_width": 8,
            "target_task": "relation",
            "feedforward_params": {"num_layers": 2, "hidden_dims": 150, "dropout": 0.4},
            "loss_weights": {"ner": 0.2, "relation": 1.0, "coref": 0.0, "events": 0.0},
        },
    }


def _network(archive: Path) -> Any:
    """The network of the archive without weights, put together as the package does."""
    from radgraph.allennlp.data import Vocabulary
    from radgraph.allennlp.modules.text_field_embedders import BasicTextFieldEmbedder
    from radgraph.allennlp.modules.token_embedders import PretrainedTransformerMismatchedEmbedder
    from radgraph.dygie.models.dygie import DyGIE

    options = json.loads((archive / "config.json").read_text())["model"]
    longest = options.pop("embedder")["token_embedders"]["bert"]["max_length"]
    for name in ("type", "initializer", "module_initializer"):
        del options[name]
    bert = PretrainedTransformerMismatchedEmbedder(str(archive / "bert"), max_length=longest)
    return DyGIE(Vocabulary.from_files(str(archive / "vocabulary")), BasicTextFieldEmbedder({"bert": bert}), **options)


def _liven(network: Any) -> None:
    """Raise and shift scores, so that some spans are entities and some of their pairs relations, as in real reports."""
    with torch.no_grad():
        for scorer in network._ner._ner_scorers.values():
            last = scorer[1]._module
            last.weight *= 12
            last.bias -= 1.0
        for scorer in network._relation._relation_scorers.values():
            scorer.weight *= 12
            scorer.bias -= 1.0
