"""What DVC takes away before it runs a stage comes back if the stage fails."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with Repo() as repo:
        recorded = [out for out in repo.stage.load_one(name=stage).outs if out.hash_info]
        for out in sorted(recorded, key=lambda out: out.use_cache, reverse=True):
            if not out.use_cache:  # kept in git: the run cache holds a copy too, of which git wants no link
                out.use_cache = True
                repo.cache.local.cache_types = ["copy"]
            try:
                out.checkout(force=True)
            except (DvcException, OSError):
                if subprocess.run(["git", "checkout", "-q", "--", str(out)], capture_output=True).returncode:
                    print(f"{out} could not be put back: `dvc pull` and `dvc checkout` may.", file=sys.stderr)
