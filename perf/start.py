"""Seconds of CPU that a stage takes to import what it needs and to leave, against the same as Python does it by itself.

By itself Python looks for garbage again and again among all that has been imported, of which nothing is garbage;
`stages` has it look a hundredth as often, and not at all on the way out. Run: python -m perf.start. Runs take turns,
and the quickest of each counts.
"""

import os
import subprocess
import sys

STAGES, RUNS = ("benchmark", "zero_shot", "labels", "pretrain"), 5
OURS = "import stages.{stage}, gc; gc.freeze()"  # as `common.run`
USUAL = "import stages, gc; gc.set_threshold(700); import stages.{stage}"


def seconds(code: str) -> float:
    """CPU seconds of a new Python that runs some code."""
    child = subprocess.Popen([sys.executable, "-c", code])
    _, child.returncode, used = os.wait4(child.pid, 0)
    if child.returncode:
        sys.exit(f"error: {code!r} failed.")
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print a table of the stages."""
    print("| stage | as Python does it | here | of the time |\n| --- | --- | --- | --- |")
    for stage in STAGES:
        runs = [[seconds(code.format(stage=stage)) for code in (USUAL, OURS)] for _ in range(RUNS)]
        usual, ours = map(min, zip(*runs, strict=True))
        print(f"| {stage} | {usual:.2f} | {ours:.2f} | **{ours / usual:.2f}** |")


if __name__ == "__main__":
    main()
