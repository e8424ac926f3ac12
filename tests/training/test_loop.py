import dataclasses
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from socket import socket

import pytest
import tiny_training as tiny
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.errors import TrainingError
from pipeline.losses.medslip import TERMS, LossConfig
from pipeline.networks.io import load_model

MODELS = ("out/best/model.safetensors", "out/best/config.json", "out/last/model.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted training: its folder, result and log."""
    folder, log = tmp_path_factory.mktemp("whole"), []
    return folder, tiny.train(folder, lambda metrics, step: log.append((step, dict(metrics)))), log


def same_models(a, b):
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in MODELS)


def test_it_learns(tmp_path):
    found = tiny.train(tmp_path, epochs=16, lr=1e-2)
    assert found.criterion == "auroc"
    first, last = found.curves[0], found.curves[-1]
    assert last["loss"] < first["loss"]
    assert last["validation_auroc_pathology"] > 0.9
    best = max(found.curves, key=lambda row: row["validation_auroc_pathology"])
    assert best["epoch"] == found.best_epoch


def test_what_it_reports(whole):
    folder, result, log = whole
    assert result.steps == 15
    assert (result.resumed_at, result.leader) == (None, True)
    assert [row["epoch"] for row in result.curves] == [1, 2, 3]
    assert {*TERMS, "loss", "lr", "gradient_norm", "validation_loss"} <= set(result.curves[0])
    assert not {"images_per_second", "loader_wait"} & set(result.curves[0])
    assert any("images_per_second" in metrics for _, metrics in log)
    assert {step for step, _ in log} == {2, 4, 5, 6, 8, 10, 12, 14, 15}
    assert set(result.auroc["pathology"]) == {"bar", "beam", "board"}
    assert [path.name for path in sorted((folder / "checkpoints").iterdir())] == [
        "step-000000014.pt",
        "step-000000015.pt",
    ]


class Waits(TorchDispatchMode):
    """Counts what makes the host wait for a device: a number fetched from a tensor, a tensor made from numbers."""

    def __init__(self):
        super().__init__()
        self.fetched = self.made = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.fetched += func.name() == "aten::_local_scalar_dense"
        self.made += func.name() == "aten::lift_fresh"
        return func(*args, **(kwargs or {}))


def test_only_logged_steps_wait_for_the_device(tmp_path):
    seen = []
    with Waits() as waits:
        tiny.train(tmp_path, lambda *_: seen.append((waits.fetched, waits.made)), epochs=1, log_every=4, batch=8)
    fetched, made = zip(*seen[:2], strict=True)  # after 2 steps, the first checkpoint, and after 4
    assert fetched[1] - fetched[0] == fetched[0] == 1  # by the look itself, of a value that is on the host by then
    assert made[1] == made[0]


def test_learning_rate_rises_then_falls(tmp_path):
    rates = []
    tiny.train(tmp_path, lambda metrics, _: rates.append(metrics.get("lr")), epochs=4, warmup_epochs=1, log_every=1)
    rates = [rate for rate in rates if rate is not None]
    assert rates[:5] == pytest.approx([1e-4 + 2.9e-3 * k / 5 for k in range(1, 6)])
    cosine = [1e-4 + 2.9e-3 * (1 + math.cos(math.pi * k / 15)) / 2 for k in range(1, 16)]
    assert rates[5:] == pytest.approx(cosine)


def test_the_stored_models_are_those_validated(whole):
    folder, _, _ = whole
    stored = load_model(folder / "out" / "best")
    assert stored.pathologies == ("bar", "beam", "board")
    assert stored.extra["train"]["epochs"] == 3
    assert all(tensor.isfinite().all() for tensor in stored.model.state_dict().values())


def test_the_same_training_gives_the_same_bytes(whole, tmp_path):
    assert tiny.train(tmp_path) == whole[1]
    assert same_models(tmp_path, whole[0])


@pytest.mark.parametrize("at", [4, 5, 8, 14])
def test_killed_training_resumes_bit_for_bit(whole, tmp_path, at):
    def die(_metrics, step):
        if step == at:
            raise ConnectionAbortedError("power cut")

    with pytest.raises(ConnectionAbortedError):
        tiny.train(tmp_path, die)
    resumed = tiny.train(tmp_path)
    assert resumed.resumed_at == (at - 1 if at == 5 else at - 2)  # the last checkpoint before the cut
    assert resumed.curves == whole[1].curves
    assert same_models(tmp_path, whole[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_after_the_step_and_resume_bit_for_bit(whole, tmp_path, number, capsys):
    handler = signal.getsignal(number)

    def stop(_metrics, step):
        if step == 6:
            os.kill(os.getpid(), number)

    with pytest.raises(TrainingError, match=r"interrupted after step 7 of 15.*checkpoints"):
        tiny.train(tmp_path, stop)
    assert signal.getsignal(number) is handler
    resumed = tiny.train(tmp_path)
    assert resumed.resumed_at == 7
    assert "Resumed after step 7 of 15" in capsys.readouterr().err
    assert same_models(tmp_path, whole[0])


def test_what_ended_is_not_trained_again_while_its_checkpoints_stay(whole, tmp_path):
    shutil.copytree(whole[0] / "checkpoints", tmp_path / "checkpoints")
    log = []
    again = tiny.train(tmp_path, lambda *logged: log.append(logged))
    assert again == dataclasses.replace(whole[1], resumed_at=15)
    assert log == []
    assert same_models(tmp_path, whole[0])


KILLED = """if True:
    import os, signal, sys
    from pathlib import Path
    import torch
    import tiny_training as tiny
    from pipeline.training import checkpoints

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def half(path, data):
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        die()

    torch.set_num_threads(1)
    if sys.argv[2] == "between":
        tiny.train(Path(sys.argv[1]), lambda metrics, step: step == 8 and die())
    else:  # in the midst of writing the checkpoint after step 6
        tiny.train(Path(sys.argv[1]), lambda metrics, step: step == 6 and setattr(Path, "write_bytes", half))
"""


@pytest.mark.parametrize(("when", "last"), [("between", 6), ("writing", 5)])
def test_sigkill_at_any_moment_resumes_bit_for_bit(whole, tmp_path, when, last, capsys):
    paths = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    command = [sys.executable, "-c", KILLED, str(tmp_path), when]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = [path.name for path in sorted((tmp_path / "checkpoints").glob("step-*.pt"))]
    assert kept == [f"step-{step:09d}.pt" for step in (last - 1, last)]
    assert (tmp_path / "checkpoints" / "step-000000006.pt.unfinished").exists() == (when == "writing")
    resumed = tiny.train(tmp_path)
    assert resumed.resumed_at == last
    assert f"Resumed after step {last} of 15" in capsys.readouterr().err
    assert same_models(tmp_path, whole[0])


def test_a_full_disk_stops_it_and_room_lets_it_go_on_bit_for_bit(whole, tmp_path):
    unfinished = tmp_path / "checkpoints" / "step-000000008.pt.unfinished"

    def fill(_metrics, step):
        if step == 8:
            unfinished.symlink_to("/dev/full")

    with pytest.raises(TrainingError, match=r"step-000000008\.pt cannot be written \(No space left on device\): make"):
        tiny.train(tmp_path, fill)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    assert tiny.train(tmp_path).resumed_at == 6
    assert same_models(tmp_path, whole[0])


def test_a_damaged_checkpoint_gives_way_to_the_one_before_bit_for_bit(whole, tmp_path, caplog):
    def die(_metrics, step):
        if step == 10:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        tiny.train(tmp_path, die)
    latest = tmp_path / "checkpoints" / "step-000000008.pt"
    latest.write_bytes(latest.read_bytes()[:-1000])
    assert tiny.train(tmp_path).resumed_at == 6
    assert "step-000000008.pt is damaged and passed over" in caplog.text
    assert same_models(tmp_path, whole[0])


def test_dropout_resumes_bit_for_bit_too(tmp_path):
    model = dataclasses.replace(tiny.MODEL, dropout=0.3)
    tiny.train(tmp_path / "a", model=model, epochs=2)

    def die(_metrics, step):
        if step == 8:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        tiny.train(tmp_path / "b", die, model=model, epochs=2)
    tiny.train(tmp_path / "b", model=model, epochs=2)
    assert same_models(tmp_path / "a", tmp_path / "b")


def test_values_that_are_not_finite_stop_it(tmp_path):
    with pytest.raises(TrainingError, match=r"Step \d+ of 15 .*(loss|gradient_norm).*train\.lr = 1e\+30"):
        tiny.train(tmp_path, lr=1e30, min_lr=1e-4, warmup_epochs=1, clip=0.0)


def test_a_validation_that_is_not_finite_stops_it(tmp_path):
    """The only step measured its loss before it ruined the weights."""
    once = {"batch": 48, "epochs": 1, "optimizer": "sgd", "lr": 1e30, "warmup_epochs": 0.0, "clip": 0.0}
    with pytest.raises(TrainingError, match=r"Step 1 of 1 .*validation_loss, validation_existence_pathology.*1e\+30"):
        tiny.train(tmp_path, data=(tiny.examples(48, 1), tiny.examples(31, 2)), **once)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not (tmp_path / "checkpoints").exists()


def test_the_terms_at_fault_are_named(tmp_path):
    model = dataclasses.replace(tiny.MODEL, tau=1e-2)
    prompts = tiny.queries()
    broken = tiny.Queries(prompts.pathologies, prompts.anatomies, prompts.pathology_vectors, prompts.anatomy_vectors)
    broken.anatomy_vectors[0, 0] = math.nan
    method, splits = (
        tiny.MeDSLIPMethod(model, LossConfig(), broken, tiny.AUGMENT, 4),
        (tiny.examples(40, 1), tiny.examples(20, 2)),
    )
    with pytest.raises(TrainingError, match=r"Step 1 of 6 .*existence_anatomy") as caught:
        tiny.train_method(method, tmp_path, lambda *_: None, splits, tiny.TRAIN)
    assert "existence_pathology" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_good_checkpoints_outlive_a_bad_step(tmp_path):
    images = tiny.examples(90, 1)

    class Fails(tiny.Table):
        served = 0

        def gather(self, rows):
            Fails.served += 1
            found = super().gather(rows)
            return found if Fails.served <= 6 else found.float() * math.nan

    data = tiny.Examples(Fails(images.images.tensor), images.image_rows, images.labels, images.label_rows)
    message = r"Step 7 of 15 .*train\.clip, which starts the training anew; the last good checkpoints .* kept in "
    with pytest.raises(TrainingError, match=message + re.escape(str(tmp_path / "checkpoints"))):
        tiny.train(tmp_path, data=(data, tiny.examples(31, 2)))
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == [
        "step-000000005.pt",
        "step-000000006.pt",
    ]


def test_without_validation_images(tmp_path):
    with pytest.raises(TrainingError, match="validation split has no images"):
        tiny.train(tmp_path, data=(tiny.examples(20, 1), tiny.examples(0, 2)))


def test_without_positives_the_loss_chooses(tmp_path):
    validation = tiny.examples(10, 2)
    validation.labels.tensor.fill_(-1)
    found = tiny.train(tmp_path, data=(tiny.examples(40, 1), validation), epochs=2)
    assert found.criterion == "loss"
    assert found.auroc["pathology"] == {"bar": None, "beam": None, "board": None}
    assert min(found.curves, key=lambda row: row["validation_loss"])["epoch"] == found.best_epoch


@pytest.mark.parametrize(
    "switch", [{"disentangle": False}, {"icl": False}, {"icl_scale": "learned", "learn_tau": True}]
)
def test_switches_of_the_model_train(tmp_path, switch):
    found = tiny.train(tmp_path, model=dataclasses.replace(tiny.MODEL, **switch), epochs=1)
    assert math.isfinite(found.curves[0]["loss"])
    assert (found.curves[0]["icl"] == 0) == (switch == {"icl": False})


def test_without_icl_its_weight_does_not_matter(tmp_path):
    model = dataclasses.replace(tiny.MODEL, icl=False)
    tiny.train(tmp_path / "a", model=model, epochs=1)
    tiny.train(tmp_path / "b", model=model, loss=LossConfig(icl_weight=5.0), epochs=1)
    weights = [load_file(tmp_path / run / "out/last/model.safetensors") for run in "ab"]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}


def script(folder, **changes):
    """The arguments of a training as a process of its own."""
    return [tiny.__file__, str(folder), json.dumps(changes)]


def two_processes(folder, *launcher, **changes):
    """A training by two processes that is given up after a while."""
    command = [sys.executable, *launcher, *script(folder, **{"devices": 2, **changes})]
    return subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True, timeout=300, check=False)


def assert_same_curves(folder, curves):
    for ours, wanted in zip(json.loads((folder / "curves.json").read_text()), curves, strict=True):
        ranks = {name for name in wanted if "auroc" in name}  # rounding may turn a near tie, which is worth 0.001
        assert ours.keys() == wanted.keys()
        assert {name: ours[name] for name in ranks} == pytest.approx({name: wanted[name] for name in ranks}, abs=0.005)
        assert {name: ours[name] for name in ours.keys() - ranks} == pytest.approx(
            {name: wanted[name] for name in wanted.keys() - ranks}, rel=1e-5
        )


def test_two_processes_give_the_loss_curve_of_one(whole, tmp_path):
    done = two_processes(tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_curves(tmp_path, whole[1].curves)


def test_torchrun_need_not_be_told_how_many_it_starts(whole, tmp_path):
    done = two_processes(tmp_path, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", devices="auto")
    assert done.returncode == 0, done.stderr
    assert_same_curves(tmp_path, whole[1].curves)


def test_slurm_need_not_be_told_how_many_it_starts(whole, tmp_path):
    with socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    job = {
        "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2", "SLURM_LOCALID": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    command = [sys.executable, *script(tmp_path, devices="auto")]
    tasks = [
        subprocess.Popen(command, env={**ONE_THREAD, **job, "SLURM_PROCID": rank, "SLURM_NODEID": rank})
        for rank in "01"
    ]
    assert [task.wait(timeout=300) for task in tasks] == [0, 0]
    assert_same_curves(tmp_path, whole[1].curves)


def test_two_processes_accumulate_what_one_accumulates(tmp_path):
    done = two_processes(tmp_path / "two", parts=2, epochs=1)
    assert done.returncode == 0, done.stderr
    assert_same_curves(tmp_path / "two", tiny.train(tmp_path / "one", parts=2, epochs=1).curves)


def test_all_processes_resume_from_the_leaders_checkpoint(whole, tmp_path):
    def stop(_, step):
        if step == 8:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        tiny.train(tmp_path, stop)
    done = two_processes(tmp_path, apart=True)
    assert done.returncode == 0, done.stderr
    assert "Resumed after step 6 of 15" in done.stderr
    assert_same_curves(tmp_path, whole[1].curves)


def test_two_processes_of_half_precision_stay_near_it(whole, tmp_path):
    done = two_processes(tmp_path, precision="bf16-mixed")
    assert done.returncode == 0, done.stderr
    for ours, wanted in zip(json.loads((tmp_path / "curves.json").read_text()), whole[1].curves, strict=True):
        assert ours["loss"] == pytest.approx(wanted["loss"], rel=0.02)


def test_fewer_validation_images_than_processes(tmp_path):
    done = two_processes(tmp_path, validation=1)
    assert done.returncode != 0
    assert "The validation split has 1 images for 2 processes, and each needs one: give it more" in done.stderr


def test_accumulated_parts_give_the_step_of_the_whole_batch(tmp_path, monkeypatch):
    """But for batch normalisation, which sees each part alone and here sees none."""

    def frozen(norm, x):
        return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)

    monkeypatch.setattr(nn.BatchNorm2d, "forward", frozen)
    once, twice = (tiny.train(tmp_path / str(parts), parts=parts, epochs=2) for parts in (1, 2))
    for ours, wanted in zip(twice.curves, once.curves, strict=True):
        assert ours == pytest.approx(wanted, rel=1e-5)
