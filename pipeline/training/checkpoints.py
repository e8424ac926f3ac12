"""Checkpoints to resume from: whole or absent, the last two kept, read without executing anything.

They live outside the stage's outputs, in a folder named by a hash of all that determines the training.
"""

import logging
import pickle
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import TrainingError
from pipeline.networks.io import write_atomically

_LOGGER = logging.getLogger(__name__)
KEPT = 2
PATTERN = "step-*.pt"


def save_checkpoint(folder: Path, step: int, content: dict[str, Any]) -> None:
    """Write the state after some step and forget all but the last two.

    Args:
        folder: made where it is missing.
        step: steps done so far.
        content: tensors, numbers, text, and lists and dicts of them.

    Raises:
        TrainingError: there is no room, or no right to write; earlier checkpoints are kept.
    """
    path, serialised = folder / f"step-{step:09d}.pt", BytesIO()
    torch.save(content, serialised)  # to memory, as torch's own writer does not say that a disk is full
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda unfinished: unfinished.write_bytes(serialised.getbuffer()))
        for old in sorted(folder.glob(PATTERN))[:-KEPT]:
            old.unlink()
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be written ({error.strerror}): make room and run again, training resumes from the "
            "checkpoint before."
        ) from error


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The latest state that can be read, or None where there is none; a damaged one is passed over with a warning.

    Raises:
        TrainingError: there are checkpoints, and none can be read.
    """
    paths = sorted(folder.glob(PATTERN), reverse=True)
    for path in paths:
        try:
            return _load(path)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile):
            _LOGGER.warning("%s is damaged and passed over.", path)
    if paths:
        raise TrainingError(f"{folder} holds no readable checkpoint: delete the folder to train from the start.")
    return None


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a training that has ended, and their folder where nothing else is in it."""
    for pattern in (PATTERN, f"{PATTERN}.unfinished"):  # a process killed while it wrote leaves the latter
        for path in folder.glob(pattern):
            path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _load(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        if archive.testzip():  # torch itself does not compare the checksums
            raise zipfile.BadZipFile
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content
