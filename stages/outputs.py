"""What DVC takes away before it runs a stage comes back if the stage fails."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def earlier_outputs_kept() -> Iterator[None]:
    """Put the outputs that dvc.lock records for the running stage back if the body fails."""
    try:
        yield
    except BaseException as end:
        failed = not isinstance(end, SystemExit) or end.code
        stage = os.environ.get("DVC_STAGE")  # DVC's name of the stage that it runs
        if failed and stage and os.environ.get("LOCAL_RANK", "0") == "0":
            try:
                _put_back(stage)
            except Exception as hindrance:  # must not hide why the stage failed
                reason = type(hindrance).__name__
                print(f"Earlier outputs are away ({reason}): `git checkout . && dvc checkout`.", file=sys.stderr)
        raise


def _put_back(stage: str) -> None:
    from dvc.repo import Repo

    with Repo() as repo:
        recorded = [out for out in repo.stage.load_one(name=stage).outs if out.hash_info]
        for out in sorted(recorded, key=lambda out: out.use_cache, reverse=True):
            if _as_recorded(out):
                continue
            in_git = not out.use_cache
            if in_git:  # the run cache holds a copy too, of which git wants no link
                out.use_cache = True
                repo.cache.local.cache_types = ["copy"]
            if out.cache.exists(out.hash_info.value):
                out.checkout(force=True)
            elif in_git:
                subprocess.run(["git", "checkout", "-q", "--", str(out)], capture_output=True)
            if out.exists and not _as_recorded(out):
                print(f"{out} is not that of the last run, which no cache here holds.", file=sys.stderr)


def _as_recorded(out: Any) -> bool:
    return bool(out.exists and not out.changed_checksum())
