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


def cut(content):
    return content[:300]


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda _: b""])
def test_a_damaged_file_gives_way_to_the_one_before_and_that_is_said(tmp_path, caplog, damage):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {"step": step, "weights": torch.rand(10_000)})
    latest, before = tmp_path / "step-000000002.pt", tmp_path / "step-000000001.pt"
    latest.write_bytes(damage(latest.read_bytes()))
    assert load_checkpoint(tmp_path)["step"] == 1
    assert [record.getMessage() for record in caplog.records] == [f"{latest} is damaged and passed over."]
    before.write_bytes(damage(before.read_bytes()))
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


def test_a_full_disk_keeps_the_checkpoints_before(tmp_path):
    save_checkpoint(tmp_path, 1, {"step": 1})
    (tmp_path / "step-000000002.pt.unfinished").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"step-000000002\.pt cannot be written \(No space left on device\)"):
        save_checkpoint(tmp_path, 2, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.pt"]
    assert load_checkpoint(tmp_path)["step"] == 1


def test_the_end_removes_them(tmp_path):
    folder = tmp_path / "run"
    save_checkpoint(folder, 1, {})
    (folder / "step-000000002.pt.unfinished").write_bytes(b"half")
    remove_checkpoints(folder)
    assert not folder.exists()
    remove_checkpoints(folder)
