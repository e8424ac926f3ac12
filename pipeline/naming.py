"""What a run is called: its method, or the baseline whose settings it has, and what else differs from the defaults.

A baseline is a file of conf/method that builds on a method: `medklip.yaml` lists `medslip` in its defaults and sets
three switches, so a run of medslip with those three is a run of `medklip-style`, however it was asked for.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

METHODS = Path("conf/method")


def run_name(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """The method or baseline, then the switches: `medslip`, `medslip seed=1 icl=false`, `medklip-style`."""
    return " ".join([_baseline(flat(params))[0], *switches(params, defaults)])


def switches(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """The parameters that differ from the defaults, as `name=value` in the order of params.yaml.

    What a baseline sets is part of its name and left out. A name is shortened to its last part where no other
    parameter ends in it.
    """
    new = flat(params)
    old = flat(defaults) | _baseline(new)[1]
    endings = Counter(name.split(".")[-1] for name in {**old, **new})
    changed = [name for name in {**old, **new} if name != "method" and new.get(name) != old.get(name)]
    short = {name: name.split(".")[-1] for name in changed}
    return [f"{short[name] if endings[short[name]] == 1 else name}={new.get(name, 'unset')}" for name in changed]


def flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested parameters as text by dotted name; of an absolute path only the last part, as it differs by machine."""
    found: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            found[prefix + name] = Path(value).name if value.startswith(("/", "~")) else value
        else:
            whole = isinstance(value, float) and value.is_integer()
            found[prefix + name] = json.dumps(int(value) if whole else value)  # 1 in YAML is 1.0 once it is validated
    return found


def _baseline(params: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The name and settings of the baseline that flat parameters fulfil, of several the one that sets most.

    Without one, the method and no settings.
    """
    found = [(params["method"], dict[str, str]())]
    for path in sorted(METHODS.glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        builds_on, settings = content.pop("defaults", []), flat(content)
        if params["method"] in builds_on and settings.items() <= params.items():
            found.append((f"{path.stem}-style", settings))
    return max(found, key=lambda one: len(one[1]))
