"""The files of an attempt: kept aside while they still are what the test left, then stored under keys of their own.

Keeping happens between two tests, so it only copies. Storing happens while the next test runs. Whatever cannot be kept
or stored is said in the attempt's log and changes nothing else.
"""

import asyncio
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from qgjob.models.attempts import StoredFile
from worker.batch import Batch, BatchJob, File
from worker.config import ConfigError
from worker.devices import Backend
from worker.printed import inert
from worker.stores import Store, StoreFailed

log = logging.getLogger("worker")

EVIDENCE_LIMIT_S = 15
STORE_LIMIT_S = 60
MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,100}")


class Limits(Struct, frozen=True):
    """Of one attempt."""

    files: int = 20
    bytes: int = 50_000_000


class Kept(Struct):
    """What is to be stored, and what could not be kept. `too_many`: how many files were above their number."""

    folder: Path
    files: list[File] = field(default_factory=list[File])
    notes: list[str] = field(default_factory=list[str])
    too_many: int = 0


class Stored(Struct):
    """`notes` are for the log."""

    files: list[StoredFile] = field(default_factory=list[StoredFile])
    notes: list[str] = field(default_factory=list[str])
    seconds: float | None = None


def limits(environment: Mapping[str, str] = os.environ) -> Limits:
    """Raises ConfigError."""
    try:
        files = int(environment.get("QGJOB_ATTEMPT_FILES") or 20)
        megabytes = int(environment.get("QGJOB_ATTEMPT_MB") or 50)
    except ValueError:
        files = megabytes = -1
    if files < 0 or megabytes < 0:
        raise ConfigError("QGJOB_ATTEMPT_FILES and QGJOB_ATTEMPT_MB are whole numbers; 0 keeps no file")
    return Limits(files, megabytes * 1_000_000)


async def keep(files: Sequence[File], most: Limits) -> Kept:
    """Copies in a folder of their own: the next test may write over the originals."""
    return await asyncio.to_thread(_keep, files, most)


async def evidence(backend: Backend, batch: Batch, since_s: float, kept: Kept, most: Limits) -> None:
    """Add what the device itself can tell of a failed job."""
    folder = Path(tempfile.mkdtemp(dir=kept.folder))
    try:
        async with asyncio.timeout(EVIDENCE_LIMIT_S):
            found = await backend.evidence(batch, folder, since_s)
    except TimeoutError:
        kept.notes.append(f"the device told nothing of itself within {EVIDENCE_LIMIT_S} s")
        return
    except Exception as error:  # whatever it is, the test's verdict stands
        kept.notes.append(f"the device could not be asked about itself: {type(error).__name__}: {error}")
        log.exception("asking %s about itself failed", batch.device)
        return
    await asyncio.to_thread(_add, kept, found, most)


async def store(kept: Kept, batch: Batch, job: BatchJob, into: Store, hurry: asyncio.Event) -> Stored:
    """All files at once. `hurry`: what is not stored when it is set, is left out."""
    now = asyncio.get_running_loop().time
    since = now()
    uploads = [asyncio.create_task(into.put(batch, job, number, file)) for number, file in enumerate(kept.files, 1)]
    hurried = asyncio.create_task(hurry.wait())
    stored = Stored(notes=list(kept.notes))
    if kept.too_many > 1:
        stored.notes.append(f"and so were {kept.too_many - 1} more files")
    try:
        while (
            (uploading := [upload for upload in uploads if not upload.done()])
            and not hurry.is_set()
            and (left_s := since + STORE_LIMIT_S - now()) > 0
        ):
            await asyncio.wait({*uploading, hurried}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        late = (
            "the device was needed for other work" if hurry.is_set() else f"the store took more than {STORE_LIMIT_S} s"
        )
        for file, upload in zip(kept.files, uploads, strict=True):
            try:
                if upload.done():
                    stored.files.append(upload.result())
                else:
                    stored.notes.append(f"{file.name} was not stored: {late}")
            except StoreFailed as error:
                stored.notes.append(f"{file.name} was not stored: {error}")
    finally:
        hurried.cancel()
        for upload in uploads:
            upload.cancel()
        await asyncio.gather(*uploads, return_exceptions=True)
        await discard(kept)
    stored.seconds = now() - since
    return stored


async def discard(kept: Kept) -> None:
    """Remove the copies."""
    await asyncio.to_thread(shutil.rmtree, kept.folder, ignore_errors=True)


def _keep(files: Sequence[File], most: Limits) -> Kept:
    kept = Kept(Path(tempfile.mkdtemp(prefix="qgjob-files-")))
    _add(kept, files, most)
    return kept


def _add(kept: Kept, files: Sequence[File], most: Limits) -> None:
    for file in files:
        name = " ".join(inert(file.name, 200).split()) or "unnamed"
        left = most.bytes - sum(one.path.stat().st_size for one in kept.files)
        if len(kept.files) >= most.files:
            kept.too_many += 1
            if kept.too_many == 1:
                kept.notes.append(f"{name} was left out: more than {most.files} files (QGJOB_ATTEMPT_FILES)")
            continue
        copy = kept.folder / str(len(kept.files) + 1)
        try:
            size = _copy(file.path, copy, left)
        except OSError as error:
            kept.notes.append(f"{name} was left out: {error.strerror or error}")
            copy.unlink(missing_ok=True)
            continue
        if size is None:
            allowed = f"{most.bytes // 1_000_000} MB of an attempt (QGJOB_ATTEMPT_MB)"
            kept.notes.append(f"{name} was left out: with it, the files would be more than the {allowed}")
            copy.unlink(missing_ok=True)
            continue
        content_type = file.content_type.partition(";")[0].strip().lower()
        known = content_type if MEDIA_TYPE.fullmatch(content_type) else "application/octet-stream"
        kept.files.append(File(name, known, copy))


def _copy(source: Path, target: Path, most: int) -> int | None:
    """The size; None where it is more than `most`. Never waits, as a named pipe would make it."""
    with open(os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as original:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(original.fileno()).st_mode):
            raise OSError("it is no file")
        with target.open("wb") as copy:
            left = most + 1  # it may grow while it is read
            while left and (piece := original.read(min(left, 1 << 20))):
                copy.write(piece)
                left -= len(piece)
    return most + 1 - left if left else None
