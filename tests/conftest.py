"""What holds for every test: timings never decide one, torch has one thread, the datasets' writers can be imported."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.append(str(Path(__file__).parent))
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)  # the longest file first: nobody waits for it then


@pytest.hookimpl(tryfirst=True)  # before any fixture
def pytest_runtest_setup() -> None:
    """Give torch one thread: the last digits depend on their number, which UMAP for one changes for the process."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
