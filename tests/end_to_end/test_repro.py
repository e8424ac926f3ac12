"""The real `dvc repro` on a clean copy of the project, at a tiny scale."""

import json
import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from pipeline.images.shards import ImageShards
from pipeline.networks.medslip import MeDSLIP
from pipeline.networks.released import RELEASED, to_released, write_checkpoint
from pipeline.schemas import EXISTENCE, QUERY_SETS, SCORES, TRIPLETS, read_table

ROOT = Path(__file__).parents[2]
BENCHMARKS = ("cxr14", "rsna", "siim", "covidx", "mimic_fg")
SMALL = (  # every stage, but not for every benchmark
    "scale=tiny", "~benchmarks.vinbigdata", "~benchmarks.rahman", "corpus_benchmarks=[mimic_fg]", "unseen=[covidx]",
    "grounding=[rsna]", "finetune.benchmarks=[siim]",
)  # fmt: skip
FEWER = ("finding_maps=[]", "finetune.benchmarks=[]", "finetune.segmentation=[]")  # of an experiment, to save time
NO_TEXTS = ("unseen=[]", "retrieval=[]")
ABOVE = {"phantom", "corpus", "images", "triplets", "query_sets", "existence", "text_encoder", "prompts"}


def overrides(*more: str) -> list[str]:
    """The options that make an experiment a small one, of fewer evaluations, with some more settings."""
    return [f"-S{setting}" for setting in (*SMALL, *FEWER, *more)]


def run(folder: Path, *command: str, code: int = 0) -> str:
    """Run a command of the virtual environment in the copied project; return what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": ""}
    environment.pop("MLFLOW_TRACKING_URI")
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    return output


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of this working tree's own files, after `dvc repro` at scale=tiny."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.email", "test@example.org")
    run(folder, "git", "config", "user.name", "Test")
    run(folder, "cxr", "compose", *SMALL)
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "start")
    run(folder, "dvc", "repro")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "results")
    return folder


def test_every_stage_leaves_checked_files(project: Path) -> None:
    assert len(read_table(project / "data/triplets.parquet", TRIPLETS)) > 0
    queries = read_table(project / "data/query_sets.parquet", QUERY_SETS)
    assert queries.filter(pl.col("kind") == "anatomy")["name"][-1] == "other"
    assert len(read_table(project / "data/existence.parquet", EXISTENCE)) > 0
    for name in BENCHMARKS:
        scores = read_table(project / f"reports/zero_shot/{name}.parquet", SCORES)
        assert scores["score"].is_between(0, 1).all()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_metrics_are_plain_numbers_with_intervals(project: Path, name: str) -> None:
    metrics = json.loads((project / f"reports/zero_shot/{name}.json").read_text())
    for metric in ("auroc", "f1", "accuracy", "f1_oracle", "accuracy_oracle"):
        assert 0 <= metrics[metric] <= 1
    low, high = metrics["intervals"]["auroc"]
    assert low <= metrics["auroc"] <= high


def test_grounding_has_chance_beside_it(project: Path) -> None:
    metrics = json.loads((project / "reports/grounding/rsna.json").read_text())
    for metric in ("pointing_game", "iou", "dice"):
        assert 0 <= metrics[metric] <= 1
        assert 0 <= metrics["chance"][metric] <= 1


def test_retrieval_and_unseen_diseases_are_compared_with_what_they_should_beat(project: Path) -> None:
    retrieval = json.loads((project / "reports/retrieval/corpus.json").read_text())
    for direction in ("image_to_text", "text_to_image"):
        assert 0 <= retrieval[direction]["p_at_10"] <= retrieval[direction]["best_p_at_10"] <= 1
        assert 0 < retrieval[direction]["chance_p_at_10"] < 1
    unseen = json.loads((project / "reports/unseen/covidx.json").read_text())
    assert unseen["difference"] == pytest.approx(unseen["explanation"] - unseen["category"], abs=1e-5)
    study = json.loads((project / "reports/case_study.json").read_text())
    assert {len(rows) for rows in study["similarity"].values()} == {len(study["texts"])}


def test_nothing_changed_means_nothing_runs(project: Path) -> None:
    assert "Running stage" not in run(project, "dvc", "repro")
    assert "up to date" in run(project, "dvc", "status")


def test_the_page_is_self_contained_and_holds_no_report(project: Path) -> None:
    page = (project / "reports/index.html").read_text()
    assert 'src="http' not in page
    reports = pl.read_parquet(project / "data/corpus/studies.parquet")["report"]
    assert not any(report[:80] in page for report in reports if len(report) > 80)


def test_an_experiment_reruns_training_and_what_follows(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "--temp", *overrides("loss.icl=false", *NO_TEXTS))
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert "pretrain" in ran
    assert not ran & ABOVE
    assert {"zero_shot@cxr14", "grounding@rsna", "report"} <= ran
    compared = run(project, "cxr", "compare", "--markdown")
    assert "icl=false" in compared


def test_an_ablation_restores_what_was_trained_and_tests_it_against_the_full_model(project: Path) -> None:
    rows = project / "conf/ablation/medslip.yaml"
    papers = rows.read_text()
    rows.write_text("no ICL: [loss.icl=false]\nfull: []\n")
    try:
        output = run(project, "cxr", "ablate", *overrides(*NO_TEXTS), "--seeds", "1")
        again = run(project, "cxr", "ablate", *overrides(*NO_TEXTS), "--seeds", "1")
    finally:
        rows.write_text(papers)
    assert "Running stage 'pretrain'" not in output
    assert again.count("finished before") == 2
    printed = again.splitlines()
    assert len([line for line in printed if "no ICL" in line and "DeLong" in line]) == 3  # rsna, siim, covidx
    assert len([line for line in printed if "no ICL" in line and "bootstrap" in line]) == 3  # cxr14, FG, boxes
    compared = run(project, "cxr", "compare", "--reference", "icl=false", "--markdown", "--html", "compared.html")
    assert "### Differences from medslip" in compared
    page = (project / "compared.html").read_text()
    assert "bootstrap" in page
    assert "http:" not in page


def test_another_method_shares_what_comes_before_it(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "--temp", "-n", "medfilip", *overrides("method=medfilip"))
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert not ran & ABOVE
    assert {"pretrain", "zero_shot@cxr14", "grounding@rsna", "unseen@covidx", "retrieval@corpus"} <= ran
    (reference,) = run(project, "git", "for-each-ref", "--format=%(refname)", "refs/exps/**/medfilip").split()
    assert "MedFILIP" in run(project, "git", "show", f"{reference}:reports/report.md")
    assert "medfilip" in run(project, "cxr", "compare", "--reference", "medslip", "--markdown")


def published(folder: Path) -> tuple[Path, Path, Path]:
    """A checkpoint in the released layout, its explanations, and a text encoder of its width; weights are random."""
    torch.manual_seed(0)
    state, _ = to_released(RELEASED, MeDSLIP(RELEASED).state_dict())
    write_checkpoint(folder / "medslip.pth", state)
    names = json.loads((ROOT / "tests/semantics/released_names.json").read_text())["pathology"]
    (folder / "explanations.json").write_text(json.dumps({name: f"It is {name}." for name in names}))
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,-_"]
    vocabulary = [*letters, *(f"##{letter}" for letter in letters)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *vocabulary]))
    size = {"hidden_size": RELEASED.text_size, "num_hidden_layers": 1, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(special) + len(vocabulary), **size)).save_pretrained(folder / "bert")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    return folder / "medslip.pth", folder / "explanations.json", folder / "bert"


def test_every_stage_evaluates_an_imported_model(project: Path, tmp_path: Path) -> None:
    checkpoint, explanations, encoder = published(tmp_path)
    said = run(project, "cxr", "import-checkpoint", str(checkpoint), "--explanations", str(explanations))
    (imported,) = re.findall(r"-S (model\.imported=\S+)", said)
    settings = (imported, *NO_TEXTS, f"text_encoder.source={encoder}", "text_encoder.pooling=cls")
    output = run(project, "dvc", "exp", "run", "--temp", "-n", "imported", *overrides(*settings))
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert not ran & {"phantom", "corpus", "images", "triplets"}
    assert {"query_sets", "prompts", "pretrain", "zero_shot@cxr14", "grounding@rsna", "embeddings", "report"} <= ran
    (reference,) = run(project, "git", "for-each-ref", "--format=%(refname)", "refs/exps/**/imported").split()
    metrics = json.loads(run(project, "git", "show", f"{reference}:reports/pretrain/metrics.json"))
    assert metrics["imported"] == imported.split("=")[1]
    assert set(metrics["pathology_auroc"]) == set(json.loads(explanations.read_text()))
    assert "was not trained here but imported" in run(project, "git", "show", f"{reference}:reports/report.md")
    assert imported.removeprefix("model.") in run(project, "cxr", "compare", "--markdown")


def test_push_and_pull_restore_every_artefact(project: Path, tmp_path: Path) -> None:
    run(project, "dvc", "remote", "add", "-f", "-d", "local", str(tmp_path / "remote"))
    run(project, "dvc", "push")
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(project), str(clone))
    run(clone, "dvc", "remote", "add", "-f", "-d", "local", str(tmp_path / "remote"))
    run(clone, "dvc", "pull")
    assert "Running stage" not in run(clone, "dvc", "repro")


@pytest.mark.parametrize(
    ("overrides", "stage", "message"),
    [
        (["data.root=/nowhere"], ("phantom", "64"), "set data.root"),
        (["data.root=/nowhere"], ("corpus",), "/nowhere"),
        (["images.size=3"], ("images", "64"), "images.size = 3"),
        (["query_sets.source=nowhere.yaml"], ("query_sets",), "nowhere.yaml"),
        (["text_encoder.source=no/such"], ("text_encoder",), "no/such"),
    ],
)
def test_bad_input_ends_in_one_sentence(
    project: Path, overrides: list[str], stage: tuple[str, ...], message: str
) -> None:
    before = (project / "params.yaml").read_text()
    try:
        if overrides == ["images.size=3"]:
            (project / "params.yaml").write_text(before.replace("images:\n  size: ", "images:\n  size: 3 #"))
        else:
            run(project, "cxr", "compose", "scale=tiny", *overrides)
        output = run(project, "python", "-m", f"stages.{stage[0]}", *stage[1:], code=1)
    finally:
        (project / "params.yaml").write_text(before)
    assert message in output
    assert output.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in output


def tree(folder: Path) -> dict[str, float]:
    """Every output and params.yaml, with the time of its last change."""
    files = [
        folder / "params.yaml",
        *(path for part in ("data", "models", "reports") for path in (folder / part).rglob("*")),
    ]
    return {str(path): path.stat().st_mtime for path in files if path.is_file()}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("evaluation.prompt_style=labels", "evaluation.prompt_style = 'labels'"),
        ("train.lr=-1", "train.lr = -1"),
        ("loss.iicl=false", "loss.iicl is not a parameter: loss has icl,"),
        ("scale=huge", "conf/scale/huge.yaml does not exist: there are demo, paper, tiny."),
        ("data.root=/nowhere", "/nowhere/mimic-cxr-jpg/"),
        ("extraction.graphs=/nowhere.json", "/nowhere.json is missing: set extraction.graphs"),
    ],
)
@pytest.mark.parametrize("where", [[], ["--queue"]])
def test_parameters_that_cannot_work_end_an_experiment_before_it_touches_anything(
    project: Path, where: list[str], setting: str, message: str
) -> None:
    before = tree(project)
    output = run(project, "dvc", "exp", "run", *where, *overrides(setting), code=1)
    assert output.startswith("error: ")
    assert message in output
    assert tree(project) == before
    assert "Queued" not in run(project, "dvc", "queue", "status")


def contents(folder: Path) -> dict[str, str]:
    """Every output, with the hash of its bytes."""
    files = [path for part in ("data", "models", "reports") for path in (folder / part).rglob("*") if path.is_file()]
    return {str(path): sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("source: frequency", "source: nowhere.yaml", "nowhere.yaml"),
        (r"resamples: \d+", "resamples: -1", "evaluation.resamples = -1"),
        (r"max_broken: \d+", "max_broken: x", "images.max_broken = 'x'"),
    ],
)
def test_a_wrong_value_in_params_yaml_leaves_the_outputs_of_the_last_run(
    project: Path, old: str, new: str, message: str
) -> None:
    run(project, "dvc", "repro")
    before, params = contents(project), (project / "params.yaml").read_text()
    changed, count = re.subn(old, new, params, count=1)
    assert count == 1
    (project / "params.yaml").write_text(changed)
    output = run(project, "dvc", "repro", code=255)
    assert re.search(f"^error: .*{message}", output, re.MULTILINE)
    assert contents(project) == before
    (project / "params.yaml").write_text(params)
    assert "Running stage" not in run(project, "dvc", "repro")
    assert run(project, "git", "status", "--porcelain", "-uno", "reports", "params.yaml", "dvc.lock") == ""


def test_another_size_of_images_is_not_taken_for_the_last_one(project: Path) -> None:
    """DVC's run cache leaves parameters named `size` out of its keys."""
    params, shards = (project / "params.yaml").read_text(), project / "data/images/corpus"
    before = ImageShards(shards).size
    try:
        run(project, "cxr", "compose", *SMALL, "images.size=48")
        run(project, "dvc", "repro", "images")
        assert ImageShards(shards).size == 48 != before
    finally:
        (project / "params.yaml").write_text(params)
        run(project, "dvc", "repro")
    assert ImageShards(shards).size == before


@pytest.mark.parametrize(
    ("stage", "labels"),
    [
        ("corpus", "mimic-cxr-jpg/mimic-cxr-2.0.0-metadata.csv.gz"),
        ("benchmark@rsna", "rsna-pneumonia/stage_2_train_labels.csv"),
    ],
)
def test_a_label_file_that_is_gone_since_leaves_the_outputs(
    project: Path, tmp_path: Path, stage: str, labels: str
) -> None:
    run(project, "dvc", "repro")
    datasets, params = tmp_path / "datasets", (project / "params.yaml").read_text()
    shutil.copytree(project / "data/phantom", datasets)
    try:
        run(project, "cxr", "compose", *SMALL, f"data.root={datasets}")
        run(project, "dvc", "repro", stage)
        before = contents(project)
        (datasets / labels).rename(tmp_path / "gone")
        assert f"error: {datasets / labels} is missing: unpack" in run(project, "dvc", "repro", stage, code=255)
        assert contents(project) == before
        (tmp_path / "gone").rename(datasets / labels)
        assert "Running stage" not in run(project, "dvc", "repro", stage)
    finally:
        (project / "params.yaml").write_text(params)
        run(project, "dvc", "repro")
