"""How waiting looks: a live bar where somebody watches, otherwise a line a change and a heartbeat for CI logs."""

import time
from typing import TYPE_CHECKING, Protocol, Self

from qgjob.cli import output
from qgjob.models.runs import Run

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

HEARTBEAT_S = 30.0


class Progress(Protocol):
    """Somebody who is told how a run goes."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, run: Run) -> None: ...
    def say(self, text: str) -> None: ...
    def silent_s(self) -> float:
        """For how long it may still be left without a word."""
        ...


def progress(*, quiet: bool) -> Progress:
    return Silent() if quiet else Live() if output.is_interactive() else Lines()


def counts(run: Run) -> str:
    done = run.completed + run.failed + run.cancelled
    parts = [f"{done} of {run.total} done"]
    parts += [f"{number} failed" for number in [run.failed] if number]
    parts += [f"{number} cancelled" for number in [run.cancelled] if number]
    parts += [f"{number} running" for number in [run.running] if number]
    parts += [f"{number} waiting" for number in [run.pending + run.queued] if number]
    return " · ".join(parts)


class Silent:
    """For `-q`: outages are still said, once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, run: Run) -> None:
        pass

    def say(self, text: str) -> None:
        output.say(text)

    def silent_s(self) -> float:
        return HEARTBEAT_S


class Lines(Silent):
    """A CI log kills jobs that are silent for long, so there is a line at least every 30 s."""

    def __init__(self) -> None:
        self._last = ""
        self._spoke = time.monotonic()

    def show(self, run: Run) -> None:
        now = counts(run)
        if now != self._last:
            self.say(f"run {run.run_id}: {now}")
        elif self.silent_s() <= 0:
            self.say(f"run {run.run_id}: still {now}")
        self._last = now

    def say(self, text: str) -> None:
        self._spoke = time.monotonic()
        output.say(text)

    def silent_s(self) -> float:
        return HEARTBEAT_S - (time.monotonic() - self._spoke)


class Live(Silent):
    """One line on the terminal that is redrawn, and gone at the end."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, run: Run) -> None:
        if self._bar is None:
            return
        done = run.completed + run.failed + run.cancelled
        if self._task is None:
            self._task = self._bar.add_task("", total=run.total)
        self._bar.update(self._task, description=f"run {run.run_id}: {counts(run)}", completed=done, total=run.total)

    def say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(output.clean(text), markup=False, highlight=False, soft_wrap=True)
