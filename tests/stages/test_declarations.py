"""dvc.yaml declares exactly the parameters that each stage's script reads."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline.benchmarks import BENCHMARKS

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def _script(stage: dict) -> Path:
    module = re.fullmatch(r"python -m (stages\.\w+)( .*)?", stage["cmd"])
    assert module, f"unexpected command {stage['cmd']}"
    return ROOT / (module[1].replace(".", "/") + ".py")


def _parts(script: Path) -> list[ast.Module]:
    """A script, and the modules of methods that it takes its work from."""
    tree = ast.parse(script.read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "stages"]
    return [
        tree,
        *(ast.parse((ROOT / f"stages/{name.name}.py").read_text()) for node in imported for name in node.names),
    ]


def _read(script: Path) -> tuple[set[str], set[str]]:
    """The sections a script asks for, and those it uses."""
    asked, used = set(), set()
    for node in (node for tree in _parts(script) for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "stage_params":
            asked |= {ast.literal_eval(argument) for argument in node.args}
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "params":
            used.add(node.attr)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "fix_torch":
            used |= {"seed", "threads"}
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "training_record":
            used |= {"method", "scale", "corpus", "knowledge"}
    return asked, asked if "model_dump" in used else used


@pytest.mark.parametrize("name", STAGES)
def test_declared_params_are_the_read_ones(name: str) -> None:
    stage = STAGES[name].get("do", STAGES[name])
    declared = {re.split(r"[.]", param)[0] for param in stage.get("params", [])}
    asked, used = _read(_script(stage))
    assert declared == asked, "dvc.yaml and stage_params(...) differ"
    assert asked == used, "a declared section is not used"


@pytest.mark.parametrize("name", STAGES)
def test_scripts_and_packages_they_import_are_dependencies(name: str) -> None:
    stage = STAGES[name].get("do", STAGES[name])
    script = _script(stage)
    deps = [str(dep) for dep in stage["deps"]]
    assert str(script.relative_to(ROOT)) in deps
    ignored = {"pipeline.errors", "pipeline.schemas", "pipeline.params", "pipeline.tracking"}
    imported = {
        node.module
        for tree in _parts(script)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pipeline.")
    }
    for module in imported - ignored:
        path = module.replace(".", "/")
        assert any(path == dep.removesuffix(".py") or path.startswith(dep + "/") for dep in deps), (
            f"{module} is no dependency"
        )


def test_the_file_of_annotations_is_a_dependency_and_by_default_there() -> None:
    assert "${extraction.graphs}" in STAGES["triplets"]["deps"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert (ROOT / params["extraction"]["graphs"]).read_text() == "{}\n"


def test_what_may_hold_patients_data_is_ignored_by_git() -> None:
    """Outputs in DVC's cache, of any benchmark, and what stages keep between runs."""
    outs = [out for stage in STAGES.values() for out in stage.get("do", stage).get("outs", []) if isinstance(out, str)]
    named = [out.replace("${key}", name).replace("${item}", name) for out in outs for name in BENCHMARKS]
    paths = [
        *dict.fromkeys(named),
        ".checkpoints/triplets",
        ".checkpoints/llm/left_out.json",
        ".scores/hash/zero_shot/cxr14.parquet",
        ".checkpoints/check/csv.parquet",
        "data/corpus/studies.parquet",
    ]
    command = ["git", "check-ignore", "--no-index", *paths]
    ignored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    assert ignored == paths


def test_every_script_is_a_stage() -> None:
    shared = {"__init__.py", "common.py", "scoring.py", "trained.py", "medslip.py", "medfilip.py"}
    scripts = {path.name for path in (ROOT / "stages").glob("*.py")} - shared
    assert scripts == {_script(stage.get("do", stage)).name for stage in STAGES.values()}
