"""RadGraph's weights: found in a folder or on the hub, checked file by file, and loaded by the package's own code.

Nothing here reads a report; `radgraph_model` does. Weights are only ever read as tensors, and whatever is missing is
named before the package looks for it, as it would wait for the hub.
"""

import io
import json
import shutil
import tarfile
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from pipeline.errors import ModelError, ParamsError

TYPES = ("radgraph", "radgraph-xl", "modern-radgraph-xl")  # the package's archives of chest X-ray reports
REPOSITORY = "StanfordAIMI/RRG_scorers"
TOKENIZERS = ("tokenizer.json", "vocab.txt")
_ENCODER_FILES = ["config.json", *TOKENIZERS, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]
_HUB_SECONDS = 5.0  # a hospital's firewall drops packets: do not wait for it


@dataclass(frozen=True)
class RadGraphConfig:
    """Which model, and how to run it.

    Attributes:
        model: one of `TYPES`.
        folder: the folder that holds the folder `model` with the files of `archive_files`; "" asks the hub, whose
            files are taken from the local cache where they are there.
        batch: reports at a time, at least 1; changes the speed alone.
    """

    model: str = "radgraph-xl"
    folder: str = ""
    batch: int = 16


def archive_files(model: str) -> tuple[str, ...]:
    """The files of an archive, relative to its folder; the first line of the entity labels is empty."""
    labels = (f"vocabulary/{model}__{kind}_labels.txt" for kind in ("ner", "relation"))
    return "config.json", "weights.th", "vocabulary/non_padded_namespaces.txt", *labels


def ensure_files(config: RadGraphConfig) -> None:
    """Look for the files on this machine, and have the hub's fetched once, before several workers need them.

    Raises:
        ModelError: a file is missing; names each.
    """
    if config.folder:
        archive = Path(config.folder) / config.model
        _check_archive(archive, config.model)
        _find_encoder(archive, _bert_parts(_read_config(archive / "config.json"), archive)[0]["model_name"])
    else:
        _fetch_archive(config.model)


def load_radgraph(config: RadGraphConfig) -> Any:
    """Load a model of the `radgraph` package on the CPU.

    Its BERT's configuration and tokenizer come from `bert/` in the archive's folder where there is one, else from the
    folder or hub id that config.json names.

    Returns:
        `radgraph.RadGraph`.

    Raises:
        ParamsError: there is no such model.
        ModelError: a file is missing or damaged, or weights.th holds anything but tensors.
    """
    model, folder = config.model, config.folder
    if model not in TYPES:
        raise ParamsError(f"extraction.radgraph.model is {model!r}: use one of {', '.join(TYPES)}.")
    with TemporaryDirectory() as temporary:
        archive = Path(folder) / model if folder else _unpack(_fetch_archive(model), Path(temporary) / "hub")
        _check_archive(archive, model)
        _stage(archive, Path(temporary) / model)
        return _load(archive, model, temporary)


def _check_archive(archive: Path, model: str) -> None:
    missing = [name for name in archive_files(model) if not (archive / name).is_file()]
    if missing:
        raise ModelError(f"RadGraph lacks {', '.join(missing)} in {archive}: {_what_to_bring(model)}")


def _what_to_bring(model: str) -> str:
    return (
        f"unpack {model}.tar.gz of {REPOSITORY} from the Hugging Face hub into a folder named {model} "
        "and set extraction.radgraph.folder to the folder around it."
    )


def _fetch_archive(model: str) -> Path:
    name = f"{model}.tar.gz"
    what = f"RadGraph's {name} is not in the local cache"
    return _from_hub(
        REPOSITORY, what, _what_to_bring(model), lambda **where: hf_hub_download(REPOSITORY, name, **where)
    )


def _unpack(path: Path, target: Path) -> Path:
    try:
        with tarfile.open(path, "r:gz") as tar:
            members = tar.getmembers()
            for member in members:  # `filter="data"` by hand, which Python 3.11 lacks before 3.11.4
                inside = (target / member.name).resolve().is_relative_to(target.resolve())
                if not (inside and (member.isfile() or member.isdir())):
                    raise tarfile.TarError(f"{member.name} is no file of its folder")
            tar.extractall(target, members)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ModelError(f"{path} cannot be unpacked ({_first_line(error)}): delete it and fetch it anew.") from error
    return target


def _from_hub(repository: str, what: str, remedy: str, fetch: Callable[..., str]) -> Path:
    """What `fetch` finds in the local cache, else on the hub, which is asked first whether it is there at all."""
    try:
        return Path(fetch(local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    except ValueError as error:  # no id of the hub
        raise ModelError(f"{what} ({_first_line(error)}): {remedy}") from error
    try:
        HfApi().model_info(repository, timeout=_HUB_SECONDS)
        return Path(fetch(etag_timeout=_HUB_SECONDS))
    except Exception as error:  # the hub's client raises its own, requests' and the socket's errors
        raise ModelError(f"{what}, and the hub gave none ({type(error).__name__}): {remedy}") from error


def _stage(archive: Path, target: Path) -> None:
    """Lay the archive out for the package: BERT's name a local folder, and room for its lock beside the vocabulary."""
    config = _read_config(archive / "config.json")
    parts = _bert_parts(config, archive)
    encoder = _find_encoder(archive, parts[0]["model_name"])
    for part in parts:
        part["model_name"] = str(encoder.resolve())
    target.mkdir()
    (target / "config.json").write_text(json.dumps(config))
    (target / "weights.th").symlink_to((archive / "weights.th").resolve())
    shutil.copytree(archive / "vocabulary", target / "vocabulary")


def _read_config(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}): bring it anew.") from error


def _bert_parts(config: Any, archive: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two places of config.json that name BERT: the reader's and the model's."""
    try:
        reader = config["dataset_reader"]["token_indexers"]["bert"]
        model = config["model"]["embedder"]["token_embedders"]["bert"]
        names = {reader["model_name"], model["model_name"]}
    except (KeyError, TypeError) as error:
        raise ModelError(f"{archive / 'config.json'} is none of RadGraph's ({error}): bring it anew.") from error
    if len(names) > 1:
        raise ModelError(f"{archive / 'config.json'} names two models ({' and '.join(sorted(names))}): name one twice.")
    return reader, model


def _find_encoder(archive: Path, name: str) -> Path:
    local = archive / "bert"
    remedy = (
        f"bring config.json and {' or '.join(TOKENIZERS)} (with tokenizer_config.json, if there is one) of {name} "
        f"to {local}; no weights are needed there."
    )
    for folder in (local, Path(name)):
        if folder.is_dir():
            return _checked_encoder(folder, remedy)
    what = f"RadGraph's BERT {name} is no folder and not in the local cache"
    try:
        cached = Path(snapshot_download(name, allow_patterns=_ENCODER_FILES, local_files_only=True))
        if not _missing_of_encoder(cached):
            return cached
    except (LocalEntryNotFoundError, ValueError):
        pass
    fetched = _from_hub(
        name, what, remedy, lambda **where: snapshot_download(name, allow_patterns=_ENCODER_FILES, **where)
    )
    return _checked_encoder(fetched, remedy)


def _missing_of_encoder(folder: Path) -> list[str]:
    present = {path.name for path in folder.iterdir()}
    return [" or ".join(group) for group in (("config.json",), TOKENIZERS) if not present.intersection(group)]


def _checked_encoder(folder: Path, remedy: str) -> Path:
    if missing := _missing_of_encoder(folder):
        raise ModelError(f"RadGraph's BERT lacks {' and '.join(missing)} in {folder}: {remedy}")
    return folder


def _load(archive: Path, model: str, root: str) -> Any:
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        from radgraph import RadGraph  # it imports for seconds, says so, and turns warnings on
        from radgraph.allennlp.common import cached_transformers

        try:
            # on the CPU, where the package reads weights as tensors alone; elsewhere it leaves that to torch's default
            package = RadGraph(model_type=model, model_cache_dir=root, cuda=-1)
        except UnpicklingError as error:
            raise ModelError(
                f"{archive / 'weights.th'} holds more than tensors and was not run: bring it from a source you trust."
            ) from error
        except Exception as error:  # the package raises whatever its many parts raise
            raise ModelError(
                f"RadGraph cannot be loaded from {archive} ({type(error).__name__}: {_first_line(error)}): bring all "
                "its files anew from one source."
            ) from error
    cached_transformers._model_cache.clear()  # a second BERT without weights
    return package


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".:")[:200] or type(error).__name__
