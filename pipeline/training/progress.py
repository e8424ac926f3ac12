"""The one progress bar of a training, with the figures that matter; silent where nobody watches."""

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingBar:
    """A bar over all steps, on stderr when that is a terminal. A context manager."""

    def __init__(self, steps: int, done: int, leader: bool) -> None:
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        hidden = not (leader and sys.stderr.isatty())
        self._progress = Progress(*columns, TextColumn("{task.fields[figures]}"), console=console, disable=hidden)
        self._task = self._progress.add_task("pre-training", total=steps, completed=done, figures="")
        self._auroc, self._leader = "", leader

    def say(self, sentence: str) -> None:
        """Print a line above the bar."""
        if self._leader:
            self._progress.console.print(sentence, highlight=False, soft_wrap=True)

    def logged(self, step: int, epoch: int, loss: float, images_per_second: float) -> None:
        """Show the figures of the last steps."""
        figures = f"epoch {epoch}  loss {loss:.4f}  {images_per_second:.0f} images/s{self._auroc}"
        self._progress.update(self._task, completed=step, figures=figures)

    def validated(self, auroc: float) -> None:
        """Show the validation AUROC from now on."""
        self._auroc = f"  validation AUROC {auroc:.3f}"

    def __enter__(self) -> "TrainingBar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
