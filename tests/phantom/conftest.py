"""One small build of all phantom datasets, shared by the tests of the layouts."""

from pathlib import Path

import pytest

from pipeline.phantom.build import PhantomParams, build

SMALL = PhantomParams(seed=3, size=64, studies=60, cxr14=40, rsna=24, siim=24, covidx=24, vinbigdata=24, rahman=24)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantoms")
    build(root, SMALL)
    return root
