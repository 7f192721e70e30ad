"""From a runner's events to the verdicts of jobs: every way in which a Playwright run can go, in one place."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worker.batch import BatchJob, File
from worker.executors import Event, Finished, Log, Started, own_files
from worker.executors import playwright_events as ev
from worker.printed import inert

_TITLE = 300
_OUTPUT = 80_000  # the reporter has bounded it


class Verdicts:
    """The jobs of one invocation of Playwright, by the real path of their spec. `place`: where its files are."""

    def __init__(self, jobs: dict[str, BatchJob], grep: str | None, place: Path) -> None:
        self._jobs = jobs
        self._grep = grep
        self._place = place
        self._files: dict[str, list[File]] = {}
        self._reset_s: dict[str, float] = {}
        self._begin: ev.Begin | None = None
        self._errors: list[ev.Error] = []
        self._elsewhere: str | None = None  # the first failure in a file that is no job's: a set-up project's, say
        self._started: set[str] = set()
        self._finished: set[str] = set()
        self.ended: str | None = None
        self.unclear = False

    @property
    def busy(self) -> bool:
        """Whether a job is running now."""
        return self._started != self._finished

    @property
    def progress(self) -> bool:
        """Whether any job has its verdict."""
        return bool(self._finished)

    def left(self) -> dict[str, BatchJob]:
        """The jobs without a verdict."""
        return {path: job for path, job in self._jobs.items() if path not in self._finished}

    def take(self, event: ev.RunnerEvent) -> Iterator[Event]:
        """What an event of the runner means for the jobs."""
        match event:
            case ev.Begin():
                self._begin = event
            case ev.End():
                self.ended = event.status
            case ev.Error():
                self._errors.append(event)
                for path in self._started - self._finished:
                    yield Log(self._jobs[path].job_id, inert(event.message) + "\n")
            case ev.TestBegin(file=path):
                yield from self._start(path)
            case ev.Output(file=path):
                if path in self._started:
                    yield Log(self._jobs[path].job_id, inert(event.text, _OUTPUT))
            case ev.TestEnd(file=path):
                if path in self._started:
                    self._reset_s[path] = self._reset_s.get(path, 0.0) + event.reset_s
                    left_out = own_files.add(event.attachments, self._place, self._files.setdefault(path, []))
                    yield Log(self._jobs[path].job_id, _line(event) + "".join(f"{line}\n" for line in left_out))
            case ev.FileEnd(file=path):
                if path not in self._jobs:
                    self._elsewhere = self._elsewhere or event.message
                elif event.ok:
                    yield from self._finish(path, None, None, event)
                else:
                    kind = "timeout" if event.timeout else "test"
                    yield from self._finish(path, kind, event.message or "failed without a message", event)

    def ended_by_itself(self, how: str, words: str, *, killed: bool) -> Iterator[Event]:
        """The runner is gone: the verdicts that follow from that. The rest of the jobs has not run."""
        if self.ended is None or self.ended == "interrupted":
            for path in self.left():
                if path in self._started:
                    message = f"the test runner ended ({how}) while this spec was running"
                    yield from self._finish(path, "infrastructure", message)
                elif self._begin is None and not killed:  # its configuration, say; it would end so again
                    message = f"the test runner could not start ({how}): {words}"
                    yield from self._finish(path, "infrastructure", message)
            return
        listed = self._begin.files if self._begin else {}
        errors = [error for error in self._errors if not error.message.startswith("Error: No tests found")]
        blamed = {path: error for path in self.left() for error in reversed(errors) if _names(error, path)}
        first = errors[0].message if errors else self._elsewhere
        for path in self.left():
            if path in self._started or path in listed:
                message = "the test runner did not run this spec to its end"
                yield from self._finish(path, "infrastructure", f"{message}: {first}" if first else message)
            elif path in blamed:
                yield from self._finish(path, "test", blamed[path].message, permanent=True)
            elif listed or not errors:
                which = f" match {self._grep!r}" if self._grep else ""
                yield from self._finish(path, "test", f"no tests in this spec{which}", permanent=True)
        # An error that names no spec: of a global set-up, or of a module that one of several specs loads.
        self.unclear = bool(errors) and not blamed and bool(self.left())

    def give_up(self, message: str) -> Iterator[Event]:
        """No verdict can be had for what is left."""
        for path in self.left():
            yield from self._finish(path, "infrastructure", message)

    def first_error(self) -> str:
        """Of those outside of any test."""
        return self._errors[0].message if self._errors else "the test runner reported no reason"

    def _start(self, path: str) -> Iterator[Event]:
        if path in self._jobs and path not in self._started:
            self._started.add(path)
            yield Started(self._jobs[path].job_id)

    def _finish(
        self, path: str, kind: Any, message: str | None, end: ev.FileEnd | None = None, *, permanent: bool = False
    ) -> Iterator[Event]:
        if path in self._finished:
            return
        yield from self._start(path)
        self._finished.add(path)
        yield Finished(
            self._jobs[path].job_id,
            "failed" if kind else "completed",
            end.duration_s if end else 0.0,
            kind,
            inert(message) if message else None,
            [_test(test) for test in end.tests] if end else [],
            self._files.get(path, []),
            self._reset_s.get(path, 0.0),
            permanent=permanent,
        )


def _names(error: ev.Error, path: str) -> bool:
    return error.file == path or f"{path}:" in error.stack or f"{path}:" in error.message


def _status(test: ev.Test) -> str:
    if test.outcome == "unexpected":
        return "timed_out" if test.status == "timedOut" else "failed"
    return "skipped" if test.outcome == "skipped" else "passed"


def _test(test: ev.Test) -> dict[str, Any]:
    message = "passed on a retry" if test.outcome == "flaky" else test.message
    return {
        "title": inert(test.title, _TITLE),
        "status": _status(test),
        "duration_s": test.duration_s,
        "message": inert(message) if message else None,
        "line": test.line,
    }


def _line(test: ev.Test) -> str:
    line = f"{_status(test)}: {inert(test.title, _TITLE)} ({test.duration_s:.2f} s)\n"
    return line + inert(test.message) + "\n" if test.message and test.outcome == "unexpected" else line
