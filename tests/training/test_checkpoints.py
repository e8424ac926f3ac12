import pickle

import pytest
import torch

from pipeline.errors import TrainingError
from pipeline.training.checkpoints import load_checkpoint, remove_checkpoints, save_checkpoint


def test_the_last_two_are_kept_and_the_latest_is_loaded(tmp_path):
    folder = tmp_path / "run"
    for step in (9, 10, 200):
        save_checkpoint(folder, step, {"step": step, "weights": {"a": torch.full((2,), step)}})
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000010.pt", "step-000000200.pt"]
    found = load_checkpoint(folder)
    assert found["step"] == 200
    assert torch.equal(found["weights"]["a"], torch.tensor([200, 200]))


def test_nothing_to_resume(tmp_path):
    assert load_checkpoint(tmp_path / "absent") is None


def test_a_damaged_file_gives_way_to_the_one_before(tmp_path):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {"step": step})
    latest = tmp_path / "step-000000002.pt"
    latest.write_bytes(latest.read_bytes()[:300])
    assert load_checkpoint(tmp_path)["step"] == 1
    (tmp_path / "step-000000001.pt").write_bytes(b"")
    with pytest.raises(TrainingError, match="no readable checkpoint"):
        load_checkpoint(tmp_path)


class Harmful:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def test_code_in_a_checkpoint_is_not_executed(tmp_path):
    torch.save({"step": Harmful()}, tmp_path / "step-000000001.pt")
    (tmp_path / "step-000000002.pt").write_bytes(pickle.dumps(Harmful(), protocol=2))
    with pytest.raises(TrainingError, match="no readable checkpoint"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed")])
def test_a_full_disk_keeps_the_checkpoints_before(tmp_path, monkeypatch, error):
    save_checkpoint(tmp_path, 1, {"step": 1})

    def full(_content, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"step-000000002\.pt cannot be written"):
        save_checkpoint(tmp_path, 2, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.pt"]
    assert load_checkpoint(tmp_path)["step"] == 1


def test_the_end_removes_them(tmp_path):
    folder = tmp_path / "run"
    save_checkpoint(folder, 1, {})
    remove_checkpoints(folder)
    assert not folder.exists()
    remove_checkpoints(folder)
