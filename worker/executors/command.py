"""Any test runner, by command lines: one process a spec, what it says taken from its exit code or its JUnit file.

prepare = [["adb", "shell", "svc", "power", "stayon", "true"]]       once per batch
reset   = [["adb", "shell", "input", "keyevent", "HOME"]]            before each spec
run     = ["python", "-m", "pytest", "{spec}", "--junit-xml={result}"]
cleanup = [["adb", "shell", "svc", "power", "stayon", "false"]]      after the batch

The backend resets the app before each spec, as the job asks, and says which device is meant: for adb by ANDROID_SERIAL,
which is also the field {serial}.
"""

import asyncio
import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from worker import processes
from worker.batch import Batch, BatchJob, PrepareError
from worker.config import ConfigError
from worker.executors import (
    Event,
    Finished,
    Log,
    Options,
    Prepared,
    Started,
    argv,
    junit,
    specs,
)
from worker.printed import Bounded, inert, last_words

logger = logging.getLogger(__name__)

Argv = list[str]
_OF_BATCH = frozenset({"device", "serial", "app_version", "org", "target"})
_OF_JOB = _OF_BATCH | {"spec", "attempt"}
_CLEANUP_S = 60.0  # for one command: cleanup must come to an end whatever the tool does


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """`error_codes`: exit codes of `run` that are no verdict. `env`: variables of the worker to pass on."""

    run: Argv
    prepare: list[Argv] = []
    reset: list[Argv] = []
    cleanup: list[Argv] = []
    result: Literal["exit-code", "junit"] = "exit-code"
    error_codes: list[int] = []
    env: list[str] = []
    grace_s: Annotated[float, Meta(ge=0, le=60)] = 5.0


class _Outcome(Struct):
    """How a command ended; both None while it runs, `why` when it could not be started."""

    code: int | None = None
    why: str = ""
    words: str = ""

    def said(self) -> str:
        """For a message: how it ended, and the last it said."""
        how = self.why or processes.how_it_ended(self.code or 0)
        words = last_words(self.words)
        return f"{how}: {words}" if words else how


class CommandExecutor:
    """Runs each spec by the command line of its settings."""

    def __init__(self, options: Options) -> None:
        self._settings = options.settings_as(Settings)
        self._project = options.project.resolve()
        self._backend = options.backend
        processes.check_names(self._settings.env)
        wanted = self._settings
        self._check("run", [wanted.run], _OF_JOB | {"result"})
        self._check("prepare", wanted.prepare, _OF_BATCH)
        self._check("reset", wanted.reset, _OF_JOB)
        self._check("cleanup", wanted.cleanup, _OF_BATCH)
        if (wanted.result == "junit") != any("{result}" in argument for argument in wanted.run):
            raise ConfigError("command: result = 'junit' and {result} in run need each other")

    async def prepare(self, batch: Batch) -> Prepared:
        values = self._values(batch)
        for name, value in values.items():
            # A value that is an argument of its own must not become an option of the tool.
            if value.startswith("-") or "\0" in value:
                raise PrepareError(f"{name} {value!r} cannot be part of a command line")
        for template in self._settings.prepare:
            outcome = await self._to_its_end(template, batch)
            if outcome.code != 0:
                raise PrepareError(f"prepare: {template[0]}: {outcome.said()}")
        return Prepared(batch, Path(tempfile.mkdtemp(prefix="qgjob-")))

    async def run(self, prepared: Prepared, jobs: Sequence[BatchJob], stop: asyncio.Event) -> AsyncIterator[Event]:
        for job in jobs:
            if stop.is_set():
                return
            # Closed explicitly, so that closing this generator ends the process at once.
            async with contextlib.aclosing(self._attempt(prepared, job, stop)) as events:
                async for event in events:
                    yield event

    async def cleanup(self, prepared: Prepared, *, failed: bool) -> None:
        for template in self._settings.cleanup:
            try:
                async with asyncio.timeout(_CLEANUP_S):
                    outcome = await self._to_its_end(template, prepared.batch)
            except TimeoutError:
                outcome = _Outcome(why=f"no end within {_CLEANUP_S:.0f} s")
            if outcome.code != 0:
                logger.warning("cleanup: %s: %s", template[0], outcome.said())
        shutil.rmtree(prepared.handle, ignore_errors=True)

    async def _attempt(self, prepared: Prepared, job: BatchJob, stop: asyncio.Event) -> AsyncGenerator[Event, None]:
        yield Started(job.job_id)
        since = time.monotonic()
        try:
            specs.locate(self._project, job.test_path)
        except specs.SpecError as error:
            yield Finished(job.job_id, "failed", 0.0, "test", inert(str(error)), permanent=True)
            return
        await self._backend.reset(prepared.batch)  # what it raises ends the batch, and is no verdict on the job
        reset_s = time.monotonic() - since
        result: Path = prepared.handle / f"{job.job_id}-{time.monotonic_ns()}.xml"  # never an earlier one
        values = self._values(prepared.batch) | {
            "spec": job.test_path,
            "attempt": str(job.attempt),
            "result": str(result),
        }
        env = self._environment(prepared.batch, [job])
        printed, outcome, broken = Bounded(), _Outcome(), None
        for template in [*self._settings.reset, self._settings.run]:
            outcome = _Outcome()
            async with contextlib.aclosing(self._output(argv.fill(template, values), env, outcome, stop)) as output:
                async for text in output:
                    if text := printed.take(text):
                        yield Log(job.job_id, text)
            if outcome.code != 0 and template is not self._settings.run:
                broken = f"reset: {template[0]}: {outcome.said()}"
            if broken or stop.is_set():
                break
        if text := printed.rest():
            yield Log(job.job_id, text)
        if stop.is_set():
            return  # it was we who ended it, whatever the tool left behind as its result
        duration_s = time.monotonic() - since
        if broken:
            yield Finished(job.job_id, "failed", duration_s, "infrastructure", broken)
        else:
            yield replace(self._verdict(job, outcome, result, duration_s), reset_s=reset_s)

    def _check(self, where: str, commands: Sequence[Argv], allowed: frozenset[str]) -> None:
        for command in commands:
            argv.check(command, allowed, where)
            program = command[0]
            if "{" in program or shutil.which(program) or shutil.which(str(self._project / program)):
                continue
            raise ConfigError(f"{where}: no program {program!r}, neither on the PATH nor in the project")

    def _environment(self, batch: Batch, jobs: Sequence[BatchJob]) -> dict[str, str]:
        return processes.environment(batch, jobs, self._settings.env) | self._backend.environment(batch)

    def _values(self, batch: Batch) -> dict[str, str]:
        return {
            "device": batch.device,
            "serial": self._backend.environment(batch).get("ANDROID_SERIAL", batch.device),
            "app_version": batch.app_version_id,
            "org": batch.org_id,
            "target": batch.target,
        }

    async def _to_its_end(self, template: Argv, batch: Batch) -> _Outcome:
        outcome = _Outcome()
        env = self._environment(batch, ())
        async for _ in self._output(argv.fill(template, self._values(batch)), env, outcome):
            pass
        return outcome

    async def _output(
        self, line: Argv, env: Mapping[str, str], outcome: _Outcome, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[str, None]:
        """What a command prints while it runs; then `outcome` says how it ended. Ends early when `stop` is set."""
        try:
            async with processes.started(line, cwd=self._project, env=env) as child:
                watch = asyncio.create_task(self._interrupt_on(stop, child)) if stop else None
                try:
                    async for text in child.output():
                        outcome.words = (outcome.words + text)[-2_000:]
                        yield text
                    outcome.code = await child.end()
                finally:
                    if watch:
                        watch.cancel()
        except (OSError, ValueError) as error:
            outcome.why = f"cannot be started: {error}"

    async def _interrupt_on(self, stop: asyncio.Event, child: processes.Child) -> None:
        await stop.wait()
        await child.interrupt(self._settings.grace_s)

    def _verdict(self, job: BatchJob, outcome: _Outcome, result: Path, duration_s: float) -> Finished:
        code = outcome.code
        if code is None or code < 0 or code in self._settings.error_codes:
            message = f"no verdict, {outcome.said()}"
            return Finished(job.job_id, "failed", duration_s, "infrastructure", message)
        if self._settings.result == "exit-code":
            if code == 0:
                return Finished(job.job_id, "completed", duration_s)
            return Finished(job.job_id, "failed", duration_s, "test", outcome.said())
        try:
            report = junit.read(result)
        except junit.ReportError as error:
            message = f"no verdict, {error}; {outcome.said()}"
            return Finished(job.job_id, "failed", duration_s, "infrastructure", message)
        if report.message is None and code == 0:
            return Finished(job.job_id, "completed", duration_s, tests=report.tests)
        message = report.message or f"no test failed, but {outcome.said()}"
        return Finished(job.job_id, "failed", duration_s, "test", message, report.tests)
