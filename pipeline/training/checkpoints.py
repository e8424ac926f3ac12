"""Checkpoints to resume from: whole or absent, the last two kept, read without executing anything.

They live outside the stage's outputs, in a folder named by a hash of all that determines the training.
"""

import pickle
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import TrainingError
from pipeline.networks.io import write_atomically

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
    path = folder / f"step-{step:09d}.pt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda unfinished: torch.save(content, unfinished))
        for old in sorted(folder.glob(PATTERN))[:-KEPT]:
            old.unlink()
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        problem = " ".join(str(error).split())[:120]
        raise TrainingError(
            f"{path} cannot be written ({problem}): make room and run again, training resumes from the one before."
        ) from error


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The latest state that can be read, or None where there is none.

    Raises:
        TrainingError: there are checkpoints, and none can be read.
    """
    paths = sorted(folder.glob(PATTERN), reverse=True)
    for path in paths:
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            continue
        return content
    if paths:
        raise TrainingError(f"{folder} holds no readable checkpoint: delete the folder to train from the start.")
    return None


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a training that has ended, and their folder where nothing else is in it."""
    for path in folder.glob(PATTERN):
        path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
