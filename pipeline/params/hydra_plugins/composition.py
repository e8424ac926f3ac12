"""What DVC's Hydra loads, by `hydra.plugins_path` of .dvc/config: parameters that cannot work end `dvc exp run`.

DVC has no hook of its own between composing parameters and running stages, so this wraps Hydra's loader.
"""

import sys
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, OmegaConf

from pipeline.errors import PipelineError
from pipeline.params.files import parse_params, readable_composition, register_inputs
from pipeline.params.inputs import require_found_inputs, require_input
from pipeline.tracking import project_root

CONF = Path("conf")
load_configuration = ConfigLoaderImpl.load_configuration


def load_checked(loader: ConfigLoaderImpl, *arguments: Any, **named: Any) -> DictConfig:
    """Compose as Hydra does, and check all parameters and that the inputs are there; else exit with a sentence."""
    try:
        with readable_composition(CONF):
            config = load_configuration(loader, *arguments, **named)
            ours = OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])
            values = OmegaConf.to_container(ours, resolve=True)
        require_found_inputs(values)  # type: ignore[arg-type]
        params = parse_params(values, CONF)  # type: ignore[arg-type]
        for name, path in params.inputs.items():
            require_input(name, Path(path), project_root())
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)  # of an exception DVC would say that it is unexpected
    return config


register_inputs()
ConfigLoaderImpl.load_configuration = load_checked  # type: ignore[assignment,method-assign]
