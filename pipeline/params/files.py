"""Reads and composes params.yaml."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.errors import ParamsError
from pipeline.params.experiment import METHODS, Params
from pipeline.params.inputs import find_inputs, require_found_inputs


def load_params(reads: Sequence[str], path: Path = Path("params.yaml")) -> Params:
    """Read and validate params.yaml, keeping only the sections that a stage declares.

    Args:
        reads: names of the sections to keep; reading another one is an AttributeError.
        path: the file.

    Raises:
        ParamsError: the file is missing, or a parameter is unknown, missing or out of range.
    """
    full = parse_params(_read_yaml(path), path)
    return type(full).model_construct(_fields_set=set(reads), **{name: getattr(full, name) for name in reads})


def parse_params(values: dict[str, Any], path: Path = Path("params.yaml")) -> Params:
    """Validate the content of params.yaml.

    Raises:
        ParamsError: names each parameter that is unknown, missing or out of range, and what it may be.
    """
    try:
        return METHODS.get(str(values.get("method")), Params).model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_problem(item) for item in error.errors())
        raise ParamsError(f"{path}: {problems}. Mend it there, or in the -S override.") from error


def compose(folder: Path, overrides: Sequence[str] = ()) -> tuple[str, dict[str, Any]]:
    """Compose the configuration groups as DVC does for `dvc exp run -S`, leaving the values to `parse_params`.

    Args:
        folder: the folder of groups, with config.yaml.
        overrides: Hydra overrides, such as "scale=paper" or "loss.icl=false".

    Returns:
        The text of params.yaml, and its content.

    Raises:
        ParamsError: a group, an overridden parameter or one that a value refers to does not exist, or `inputs` is set.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    register_inputs()
    with readable_composition(folder):
        with initialize_config_dir(str(folder.resolve()), version_base=None):
            config = hydra_compose("config", overrides=list(overrides))
        OmegaConf.resolve(config)
    values: dict[str, Any] = OmegaConf.to_object(config)  # type: ignore[assignment]
    require_found_inputs(values)
    return OmegaConf.to_yaml(config), values


def register_inputs() -> None:
    """Let `${inputs:}` in the configuration groups stand for the inputs that other parameters name."""
    from omegaconf import DictConfig, OmegaConf

    def resolve(*, _root_: DictConfig) -> DictConfig:
        naming = OmegaConf.masked_copy(_root_, ["data", "corpus", "benchmarks", "extraction"])
        return OmegaConf.create(find_inputs(OmegaConf.to_container(naming, resolve=True)))  # type: ignore[arg-type]

    OmegaConf.register_new_resolver("inputs", resolve, replace=True)


@contextmanager
def readable_composition(folder: Path) -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise in composing `folder` into one sentence.

    Raises:
        ParamsError: names the group or parameter that does not exist, and those that do.
    """
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf import DictConfig
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

    try:
        yield
    except MissingConfigException as error:
        known = f": there are {', '.join(error.options)}" if error.options else ""
        raise ParamsError(f"{folder}/{error.missing_cfg_file}.yaml does not exist{known}.") from error
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # Hydra raises the last of a group set to 3
        cause = error.__cause__
        if isinstance(cause, ConfigAttributeError | ConfigKeyError) and isinstance(cause.parent_node, DictConfig):
            place = str(cause.full_key).rpartition(".")[0] or folder
            known = ", ".join(sorted(str(name) for name in cause.parent_node if name != "hydra"))
            raise ParamsError(f"{cause.full_key} is not a parameter: {place} has {known}.") from error
        reason = str(error).splitlines()[0].rstrip(".")
        raise ParamsError(f"{folder} does not compose: {reason}. The parameters are those of params.yaml.") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ParamsError(
            f"{path} is missing: run the command in the project's folder, or write it with `cxr compose`."
        )
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}. Write it anew with `cxr compose`.") from error
    if not isinstance(values, dict):
        raise ParamsError(f"{path} holds no parameters: write it anew with `cxr compose`.")
    return values


def _problem(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{name} is not a parameter"
    if item["type"] == "missing":
        return f"{name} is missing"
    if item["type"] == "value_error":  # of values that do not fit each other
        return f"{name}: {item['ctx']['error']}" if name else str(item["ctx"]["error"])
    return f"{name} = {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}"
