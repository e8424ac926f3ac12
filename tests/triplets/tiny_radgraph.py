"""A RadGraph archive with random weights, of any size, that the package's own code loads."""

import json
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import BertConfig, ModernBertConfig, PretrainedConfig

LABELS = ("Anatomy::definitely present", "Observation::definitely present", "Observation::definitely absent")
RELATIONS = ("modify", "located_at", "suggestive_of")
TINY = BertConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, initializer_range=0.3
)  # weights so large that each word's vector depends on all words, padding too were it not masked
TINY_MODERN = ModernBertConfig(
    hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64, initializer_range=0.3,
    initializer_cutoff_factor=3.0, local_attention=16,
    pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3, reference_compile=False,
)  # fmt: skip  # its layers attend globally and locally in turn
_WORDS = (
    "the", "no", "left", "right", "lung", "lower", "lobe", "effusion", "small", "is", "are", "of", "with", "heart",
    "opacity", "pleural", "pneumothorax", "edema", "normal", "size", "##s", "##al", "##es", "##ies", "##ing",
)  # fmt: skip


def write_archive(root: Path, model: str = "radgraph-xl", bert: PretrainedConfig = TINY, longest: int = 512) -> Path:
    """Write `root/model`, whose config.json names `root/bert`; the same arguments give the same weights."""
    archive = root / model
    (archive / "vocabulary").mkdir(parents=True)
    write_bert(root / "bert", bert)
    _write_vocabulary(archive / "vocabulary", model)
    (archive / "config.json").write_text(json.dumps(_config(str(root / "bert"), longest), indent=1))
    torch.manual_seed(0)
    torch.save(_network(archive).state_dict(), archive / "weights.th")
    package = load_package(root, model)
    _liven(package, model)
    torch.save(package.model.state_dict(), archive / "weights.th")
    return archive


def load_package(root: Path, model: str = "radgraph-xl", gpu: int = -1) -> Any:
    """The package's own object, from `root/model`, by default on the CPU."""
    from radgraph import RadGraph

    return RadGraph(model_type=model, model_cache_dir=str(root), cuda=gpu)


def reports(number: int, longest: int = 60, seed: int = 0) -> list[str]:
    """Texts of 1 to `longest` known and unknown words, stops, and things that no word piece stands for."""
    rng = Random(seed)
    others = (".", ",", "zebra", "Opacities", "(2.3", "cm)", "x/y", "50%.", "/.", "___", "Å", "\0")
    words = [*(word for word in _WORDS if "#" not in word), *others]
    return [" ".join(rng.choices(words, k=rng.randint(1, longest))) for _ in range(number)]


def write_bert(folder: Path, bert: PretrainedConfig = TINY) -> None:
    """Write configuration and WordPiece vocabulary, no weights."""
    folder.mkdir(parents=True)
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = list(dict.fromkeys(pieces))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    options = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    type(bert).from_dict(bert.to_dict() | {"vocab_size": len(vocabulary)}).save_pretrained(folder)


def _write_vocabulary(folder: Path, model: str) -> None:
    (folder / "non_padded_namespaces.txt").write_text("*labels\n*tags\n")
    (folder / f"{model}__ner_labels.txt").write_text("\n".join(["", *LABELS]) + "\n")
    (folder / f"{model}__relation_labels.txt").write_text("\n".join(RELATIONS) + "\n")


def _config(bert_name: str, longest: int) -> dict[str, Any]:
    """The options of the published archives that matter to inference."""
    bert = {"type": "pretrained_transformer_mismatched", "model_name": bert_name, "max_length": longest}
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
    embedder = options.pop("embedder")["token_embedders"]["bert"]
    for name in ("type", "initializer", "module_initializer"):
        del options[name]
    bert = PretrainedTransformerMismatchedEmbedder(embedder["model_name"], max_length=embedder["max_length"])
    return DyGIE(Vocabulary.from_files(str(archive / "vocabulary")), BasicTextFieldEmbedder({"bert": bert}), **options)


def _liven(package: Any, model: str) -> None:
    """Shift and stretch the scores: some spans become entities, these end relations, and some of their pairs are some.

    Left as they are, random weights give all spans the same label, or none.
    """
    network = package.model
    entities = network._ner._ner_scorers[f"{model}__ner_labels"]
    ends = network._relation._mention_pruners[f"{model}__relation_labels"]._scorer
    relations = network._relation._relation_scorers[f"{model}__relation_labels"]
    with torch.no_grad():
        _spread(package, entities[1]._module, 0.012)
        ends[0].load_state_dict(entities[0].state_dict())
        ends[1]._module.weight.copy_(entities[1]._module.weight.sum(0, keepdim=True))
        _spread(package, ends[1]._module, 0.06)
        _spread(package, relations, 0.15)


def _spread(package: Any, layer: torch.nn.Linear, share: float) -> None:
    """Give each output of a layer deviation 1 over some reports, and so many values above 0."""
    outputs: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _layer, _inputs, output: outputs.append(output.flatten(0, -2)))
    package(reports(8, seed=1))
    hook.remove()
    scores = torch.cat(outputs)  # [N, labels]
    layer.bias.sub_(scores.quantile(1 - share, dim=0)).div_(scores.std(0))
    layer.weight.div_(scores.std(0).unsqueeze(1))
