"""Playwright specs, with the project's own runner."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from worker.batch import Batch, BatchJob
from worker.executors import Event, Options, Prepared
from worker.executors.playwright_runner import Run, Runner, Settings


class PlaywrightExecutor:
    """Runs the specs of a batch by `@playwright/test`, in its order: by file name."""

    def __init__(self, options: Options) -> None:
        settings = options.settings_as(Settings)
        self._runner = Runner("playwright", options.project, settings)
        self._backend = options.backend

    async def prepare(self, batch: Batch) -> Prepared:
        return Prepared(batch, Path(tempfile.mkdtemp(prefix="qgjob-")))

    def run(self, prepared: Prepared, jobs: Sequence[BatchJob], stop: asyncio.Event) -> AsyncGenerator[Event, None]:
        environment = self._backend.environment(prepared.batch)
        return self._runner.events(Run(prepared.batch, prepared.handle, environment), jobs, stop)

    async def cleanup(self, prepared: Prepared, *, failed: bool) -> None:
        shutil.rmtree(prepared.handle, ignore_errors=True)
