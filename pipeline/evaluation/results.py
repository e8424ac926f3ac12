"""Metrics as JSON files: sorted keys, rounded numbers, the same results giving the same bytes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DECIMALS = 6


def write_results(results: Mapping[str, Any], path: Path) -> None:
    """Write metrics as JSON, floats rounded to six decimals.

    Thresholds keep all their digits, so that applying them to the stored scores gives the stored metrics again.

    Raises:
        ValueError: a number is not finite; what cannot be scored is None.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(results), indent=2, sort_keys=True, allow_nan=False) + "\n")


def _rounded(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, name) for item in value]
    if isinstance(value, float) and not name.startswith("threshold"):
        return round(value, DECIMALS)
    return value
