"""An executor and a backend that leave files, found by the worker as any other plug-in is: by their entry points.

A spec's name decides: `fail` fails, `slow` goes on when a file `go` is in the project. The setting `files` says what
each job leaves: [{"name", "content_type", "path"}], each gone as soon as the worker has taken the verdict.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from processes import CHECKOUT

from worker.batch import Batch, BatchJob, File
from worker.devices import Options as BackendOptions
from worker.devices.none import NamedDevices
from worker.executors import Event, Finished, Log, Options, Prepared, Started

ENTRY_POINTS = """[qgjob.executors]
leaving_files = leaving_files:LeavesFiles
[qgjob.backends]
leaving_files = leaving_files:TellsOfItself
"""


def installed(folder: Path) -> dict[str, str]:
    """The environment of a worker that has this module installed."""
    info = folder / "leaving_files-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaving-files\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return {"PYTHONPATH": f"{folder}:{CHECKOUT / 'tests'}"}


class LeavesFiles:
    def __init__(self, options: Options) -> None:
        self._project = options.project
        self._files = options.settings.get("files", [])

    async def prepare(self, batch: Batch) -> Prepared:
        return Prepared(batch)

    async def run(self, prepared: Prepared, jobs: Sequence[BatchJob], stop: asyncio.Event) -> AsyncIterator[Event]:
        for job in jobs:
            if stop.is_set():
                return
            place = self._project / f"of-{job.job_id}"
            place.mkdir()
            yield Started(job.job_id)
            yield Log(job.job_id, f"begin {job.test_path}\n")
            for number in range(3 if "slow" in job.test_path else 0):
                while not (self._project / f"go-{number}").exists():
                    if stop.is_set():
                        return
                    await asyncio.sleep(0.01)
                yield Log(job.job_id, f"step {number}\n")
            files = [self._left_by(place, number, **file) for number, file in enumerate(self._files)]
            failed = "fail" in job.test_path
            kind = "test" if failed else None
            yield Finished(
                job.job_id,
                "failed" if failed else "completed",
                0.1,
                kind,
                files=files,
                reset_s=0.25,
                video_offset_s=1.5,
            )  # type: ignore[arg-type]
            shutil.rmtree(place)

    def _left_by(self, place: Path, number: int, name: str, content_type: str, path: str) -> File:
        if not Path(path).is_file():
            return File(name, content_type, Path(path))
        return File(name, content_type, Path(shutil.copy(path, place / str(number))))

    async def cleanup(self, prepared: Prepared, *, failed: bool) -> None:
        pass


class TellsOfItself(NamedDevices):
    def __init__(self, options: BackendOptions) -> None:
        super().__init__(options)

    async def evidence(self, batch: Batch, folder: Path, since_s: float) -> list[File]:
        (folder / "log").write_text(f"{batch.device} has crashed {since_s >= 0}")
        return [File("device.log", "text/plain", folder / "log")]
