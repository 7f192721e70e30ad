"""One invocation of the project's own Playwright for the specs of a batch, followed test by test.

Exit codes of Playwright say next to nothing and its JSON report comes at the end, so a reporter of ours appends each
event to a file, and the file is followed while the runner works. The runner is called directly: through npx, signals
and exit codes are lost.
"""

import asyncio
import contextlib
import re
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from worker import processes
from worker.batch import Batch, BatchJob
from worker.config import ConfigError
from worker.executors import Event, Finished, Started, specs
from worker.executors.playwright_events import follow
from worker.executors.playwright_verdicts import Verdicts
from worker.printed import Bounded, inert

_REPORTER = Path(__file__).with_name("qgjob-reporter.cjs")
_POLL_S = 0.05


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """`grep`, `config` and `project` are Playwright's. `env`: variables of the worker to pass on. `idle_s`: how long
    the runner may be without a running spec, for its start and its global set-up."""

    grep: str | None = None
    config: str | None = None
    project: str | None = None
    env: list[str] = []
    idle_s: Annotated[float, Meta(gt=0)] = 300.0
    grace_s: Annotated[float, Meta(ge=0, le=60)] = 5.0


class Run(Struct, frozen=True):
    """What the invocations for a batch have in common. `folder` is theirs alone. `env` and `preload` (a module that
    Node loads first, in the runner and in its workers) are the executor's. `apart`: one invocation for each spec."""

    batch: Batch
    folder: Path
    env: dict[str, str] = {}
    preload: Path | None = None
    apart: bool = False


class Runner:
    """The @playwright/test of a project; `name` is the executor's, for messages."""

    def __init__(self, name: str, project: Path, settings: Settings) -> None:
        self._settings = settings
        processes.check_names(settings.env)
        node = shutil.which("node")
        if node is None:
            raise ConfigError(f"{name}: no program 'node' on the PATH; install Node.js 18 or newer")
        self.node = node
        self.project = project.resolve()
        self._cli = self.project / "node_modules" / "@playwright" / "test" / "cli.js"
        if not self._cli.is_file():
            raise ConfigError(f"{name}: no @playwright/test in {self.project}; run `npm install` there")
        if settings.config is not None and not (self.project / settings.config).is_file():
            raise ConfigError(f"{name}: no such file: config {settings.config!r}")

    async def events(self, run: Run, jobs: Sequence[BatchJob], stop: asyncio.Event) -> AsyncGenerator[Event, None]:
        """What happens to the jobs. A job that it ends without may be tried again."""
        paths: dict[str, BatchJob] = {}
        for job in jobs:
            try:
                # Of two jobs with one spec the second is left for the next call: a run has one verdict for a file.
                paths.setdefault(str(specs.locate(self.project, job.test_path)), job)
            except specs.SpecError as error:
                yield Started(job.job_id)
                yield Finished(job.job_id, "failed", 0.0, "test", inert(str(error)), permanent=True)
        parts = [{path: job} for path, job in paths.items()] if run.apart else [paths] if paths else []
        while parts and not stop.is_set():
            place = Path(tempfile.mkdtemp(dir=run.folder))
            verdicts = Verdicts(parts.pop(0), self._settings.grep, place)
            # Closed explicitly, so that closing this generator ends the runner at once.
            async with contextlib.aclosing(self._invoke(run, place, verdicts, stop)) as events:
                async for event in events:
                    yield event
            left = verdicts.left()
            if verdicts.unclear and len(left) == 1:
                for event in verdicts.give_up(verdicts.first_error()):
                    yield event
            elif verdicts.unclear:
                # One by one, so that only the broken one fails.
                parts = [{path: job} for path, job in left.items()]

    async def _invoke(
        self, run: Run, place: Path, verdicts: Verdicts, stop: asyncio.Event
    ) -> AsyncGenerator[Event, None]:
        jobs = verdicts.left()
        events = _empty_file(place / "events")
        env = processes.environment(run.batch, list(jobs.values()), self._settings.env) | run.env
        line = self._line(run, list(jobs), place)
        stopping = asyncio.create_task(stop.wait())
        following = follow(events)
        try:
            async with processes.started(line, cwd=self.project, env={**env, "QGJOB_EVENTS": str(events)}) as child:
                reading = asyncio.create_task(_words_of(child))
                active = time.monotonic()
                ending = False
                while True:
                    gone = child.ended.done()  # asked before reading, so that nothing written before is missed
                    for found in next(following):
                        active = time.monotonic()
                        for event in verdicts.take(found):
                            yield event
                    if gone:
                        break
                    if stop.is_set():
                        await child.interrupt(self._settings.grace_s)
                        return
                    quiet = time.monotonic() - active
                    if verdicts.ended is not None and quiet > self._settings.grace_s and not ending:
                        ending = True  # all is said, but it does not end: something it started still lives
                        await child.kill()
                    elif not verdicts.busy and quiet > self._settings.idle_s:
                        await child.interrupt(self._settings.grace_s)
                        if not verdicts.progress:
                            for event in verdicts.give_up(f"the test runner ran no spec for {quiet:.0f} s"):
                                yield event
                        return
                    await asyncio.wait({child.ended, stopping}, timeout=_POLL_S, return_when="FIRST_COMPLETED")
                words = await reading
                code = await child.end()
        except OSError as error:
            for event in verdicts.give_up(f"the test runner cannot be started: {error}"):
                yield event
            return
        finally:
            stopping.cancel()
            following.close()
        how = processes.how_it_ended(code)
        for event in verdicts.ended_by_itself(how, words, killed=code < 0):
            yield event

    def _line(self, run: Run, files: Sequence[str], place: Path) -> list[str]:
        chosen = self._settings
        # Playwright starts its workers with the options that its own Node was started with.
        line = [self.node, *(["--require", str(run.preload)] if run.preload else []), str(self._cli), "test"]
        # File arguments are regular expressions on absolute paths. `test.only` in one spec would silence all others.
        line += (re.escape(file) + "$" for file in files)
        line += ["--workers=1", "--retries=0", "--max-failures=0", "--global-timeout=0", "--forbid-only"]
        line += [f"--reporter={_REPORTER}", f"--output={place / 'output'}"]
        line += [f"--config={self.project / chosen.config}"] if chosen.config is not None else []
        line += [f"--grep={chosen.grep}"] if chosen.grep is not None else []
        # Two arguments, for AppWright looks for them as such.
        line += ["--project", chosen.project] if chosen.project is not None else []
        return line


def _empty_file(path: Path) -> Path:
    path.touch()
    return path


async def _words_of(child: processes.Child) -> str:
    """Reads what the runner itself prints, so that it never blocks; its start and its end are kept for a message."""
    printed = Bounded(1_500)
    start = ""
    async for text in child.output():
        start += printed.take(text)
    return (start + printed.rest()).strip()
