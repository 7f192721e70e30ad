"""Playwright specs, with the project's own runner."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import msgspec

from worker.batch import Batch, BatchJob
from worker.config import ConfigError
from worker.executors import Event, Options, Prepared
from worker.executors.playwright_runner import Run, Runner, Settings


class PlaywrightExecutor:
    """Runs the specs of a batch by `@playwright/test`, in its order: by file name."""

    def __init__(self, options: Options) -> None:
        try:
            settings = msgspec.convert(options.settings, Settings)
        except msgspec.ValidationError as error:
            raise ConfigError(f"playwright: {error}") from None
<<<<<<< HEAD
        self._runner = Runner("playwright", options.project, settings)
=======
        processes.check_names(self._settings.env)
        node = shutil.which("node")
        if node is None:
            raise ConfigError("playwright: no program 'node' on the PATH; install Node.js 18 or newer")
        self._project = options.project.resolve()
        self._backend = options.backend
        cli = self._project / "node_modules" / "@playwright" / "test" / "cli.js"
        if not cli.is_file():
            raise ConfigError(f"playwright: no @playwright/test in {self._project}; run `npm install` there")
        self._command = [node, str(cli), "test"]
        if self._settings.config is not None and not (self._project / self._settings.config).is_file():
            raise ConfigError(f"playwright: no such file: config {self._settings.config!r}")
>>>>>>> adb

    async def prepare(self, batch: Batch) -> Prepared:
        return Prepared(batch, Path(tempfile.mkdtemp(prefix="qgjob-")))

    def run(self, prepared: Prepared, jobs: Sequence[BatchJob], stop: asyncio.Event) -> AsyncGenerator[Event, None]:
        return self._runner.events(Run(prepared.batch, prepared.handle), jobs, stop)

    async def cleanup(self, prepared: Prepared, *, failed: bool) -> None:
        shutil.rmtree(prepared.handle, ignore_errors=True)
<<<<<<< HEAD
=======

    async def _invoke(self, prepared: Prepared, verdicts: Verdicts, stop: asyncio.Event) -> AsyncGenerator[Event, None]:
        jobs = verdicts.left()
        handle: Path = prepared.handle
        place = Path(tempfile.mkdtemp(dir=handle))
        events = _empty_file(place / "events")
        env = processes.environment(prepared.batch, list(jobs.values()), self._settings.env)
        env |= self._backend.environment(prepared.batch)
        line = self._line(list(jobs), place)
        stopping = asyncio.create_task(stop.wait())
        following = follow(events)
        try:
            async with processes.started(line, cwd=self._project, env={**env, "QGJOB_EVENTS": str(events)}) as child:
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

    def _line(self, files: Sequence[str], place: Path) -> list[str]:
        chosen = self._settings
        # File arguments are regular expressions on absolute paths. `test.only` in one spec would silence all others.
        line = [*self._command, *(re.escape(file) + "$" for file in files)]
        line += ["--workers=1", "--retries=0", "--max-failures=0", "--global-timeout=0", "--forbid-only"]
        line += [f"--reporter={_REPORTER}", f"--output={place / 'output'}"]
        line += [f"--config={self._project / chosen.config}"] if chosen.config is not None else []
        line += [f"--project={chosen.project}"] if chosen.project is not None else []
        line += [f"--grep={chosen.grep}"] if chosen.grep is not None else []
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
>>>>>>> adb
