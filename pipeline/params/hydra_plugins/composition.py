"""What DVC's Hydra loads, by `hydra.plugins_path` of .dvc/config: parameters that cannot work end `dvc exp run`.

DVC removes a stage's outputs before it runs the stage, which is where they would else be found wrong.
"""

import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from pipeline.errors import PipelineError
from pipeline.params.datasets import PHANTOM, require_datasets
from pipeline.params.files import CHECKED, parse_params
from pipeline.tracking import project_root


def checked(method: str, *, _root_: DictConfig) -> str:
    """The method itself, once all that is composed with it can work: `${checked:medslip}` is what conf/method sets."""
    composed = _root_.copy()
    composed.method = method
    try:
        params = parse_params(OmegaConf.to_container(composed, resolve=True), Path("conf"))  # type: ignore[arg-type]
        if Path(params.data.root) != PHANTOM:
            require_datasets(params.data, params.corpus, params.benchmarks, project_root())
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)  # of an exception DVC would say that it is unexpected
    return method


OmegaConf.register_new_resolver(CHECKED, checked, replace=True)
