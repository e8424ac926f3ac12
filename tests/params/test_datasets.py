from pathlib import Path

import pytest

from pipeline.errors import DatasetError
from pipeline.params import compose, parse_params
from pipeline.params.datasets import require_datasets

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("lacking", ["corpus", "rsna"])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_dataset_that_is_not_there_is_named(tmp_path: Path, lacking: str, absolute: bool) -> None:
    root = tmp_path / "cxr"
    params = parse_params(compose(ROOT / "conf", [f"data.root={root if absolute else 'cxr'}"])[1])
    tables = {"corpus": params.corpus, **params.benchmarks}
    for name, dataset in tables.items():
        if name != lacking:
            path = root / dataset.folder / dataset.labels
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    with pytest.raises(DatasetError, match=f"{tables[lacking].folder}/{tables[lacking].labels} is missing"):
        require_datasets(params.data, params.corpus, params.benchmarks, tmp_path)
    missing = root / tables[lacking].folder / tables[lacking].labels
    missing.parent.mkdir(parents=True, exist_ok=True)
    missing.touch()
    require_datasets(params.data, params.corpus, params.benchmarks, tmp_path)
