"""dvc.yaml declares exactly the sections of parameters that each stage's script reads, and all code it imports."""

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
    module = re.fullmatch(r"(?:env \S+ )?python -m (stages\.\w+)( .*)?", stage["cmd"])
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
            used |= {"method", "scale", "corpus", "knowledge", "images", "extraction", "query_sets", "text_encoder"}
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "evaluated":
            used |= {"evaluation", "finetune"}
    return asked, asked if "model_dump" in used else used


@pytest.mark.parametrize("name", STAGES)
def test_declared_params_are_the_read_ones(name: str) -> None:
    stage = STAGES[name].get("do", STAGES[name])
    declared = {re.split(r"[.]", param)[0] for param in stage.get("params", [])}
    asked, used = _read(_script(stage))
    assert declared == asked, "dvc.yaml and stage_params(...) differ"
    assert asked == used, "a declared section is not used"


def _leaves(params: dict, prefix: str = "") -> set[str]:
    nested = {f"{prefix}{name}": value for name, value in params.items()}
    deeper = (_leaves(value, f"{name}.") for name, value in nested.items() if isinstance(value, dict))
    return {name for name, value in nested.items() if not isinstance(value, dict)}.union(*deeper)


@pytest.mark.parametrize("name", STAGES)
def test_parameters_that_dvcs_run_cache_overlooks_are_in_the_command(name: str) -> None:
    """DVC takes any `size` and `nfiles` for those of files, and restores results of another one."""
    stage = STAGES[name].get("do", STAGES[name])
    leaves = _leaves(yaml.safe_load((ROOT / "params.yaml").read_text()))
    overlooked = {leaf for leaf in leaves if leaf.split(".")[-1] in ("size", "nfiles")}
    read = {leaf for leaf in overlooked for param in stage.get("params", []) if f"{leaf}.".startswith(f"{param}.")}
    told = set(re.findall(r"\$\{([\w.]+)\}", stage["cmd"]))
    assert overlooked == {"images.size", "phantom.size"}
    if name != "pretrain":  # which names it alone, and depends on the images themselves
        assert read <= told


# What every stage shares and what only says how tables and parameters look: a change of these re-runs nothing.
SHARED = (
    "stages/__init__.py",
    "stages/common.py",
    "stages/outputs.py",
    "pipeline/errors.py",
    "pipeline/naming.py",
    "pipeline/params/",
    "pipeline/schemas.py",
    "pipeline/tracking.py",
)


def _module(name: str) -> Path | None:
    path = ROOT / name.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _imported(file: Path) -> set[Path]:
    """This project's modules that a file imports, wherever in it."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    own = [node for node in nodes if node.module and node.module.split(".")[0] in ("pipeline", "stages")]
    found = {_module(f"{node.module}.{name.name}") or _module(str(node.module)) for node in own for name in node.names}
    return {module for module in found if module}


def _closure(file: Path) -> set[Path]:
    """All of them that it comes to import."""
    seen, new = {file}, {file}
    while new:
        new = {module for one in new for module in _imported(one)} - seen
        seen |= new
    return seen


@pytest.mark.parametrize("name", STAGES)
def test_all_code_that_a_script_comes_to_import_is_a_dependency(name: str) -> None:
    stage = STAGES[name].get("do", STAGES[name])
    deps = [str(dep) for dep in stage["deps"]]
    files = [str(module.relative_to(ROOT)) for module in _closure(_script(stage))]
    own = [file for file in files if not file.startswith(SHARED)]
    missing = [file for file in own if not any(file == dep or file.startswith(dep + "/") for dep in deps)]
    assert missing == []
    assert len(own) > 1 or name == "input", "which looks for a file and no more"
    assert "stages/determinism.py" in deps, "which all of them import with `stages`"


def test_the_file_of_annotations_is_a_dependency_and_by_default_there() -> None:
    assert "${extraction.graphs}" in STAGES["triplets"]["deps"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert (ROOT / params["extraction"]["graphs"]).read_text() == "{}\n"


def test_what_may_hold_patients_data_is_ignored_by_git() -> None:
    """Outputs in DVC's cache, of any benchmark, and what stages keep between runs."""
    declared = [out for stage in STAGES.values() for out in stage.get("do", stage).get("outs", [])]
    flags = [next(iter(out.items())) if isinstance(out, dict) else (out, {}) for out in declared]
    outs = [out for out, flag in flags if flag.get("cache", True)]
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
    shared = {
        "__init__.py",
        "common.py",
        "determinism.py",
        "outputs.py",
        "scoring.py",
        "trained.py",
        "medslip.py",
        "medfilip.py",
    }
    scripts = {path.name for path in (ROOT / "stages").glob("*.py")} - shared
    assert scripts == {_script(stage.get("do", stage)).name for stage in STAGES.values()}
