"""A build's file on this machine: fetched once for all workers here, verified by its hash, kept while there is room."""

import asyncio
import fcntl
import hashlib
import logging
import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from qgjob.models.words import SUFFIXES
from worker import downloads
from worker.batch import Artifact, PrepareError
from worker.stores import PIECE, Store

log = logging.getLogger("worker")

LOOK_AGAIN_S = 0.1
# When to ask again where nobody answered. Longer troubles are losses, for whoever submits chooses the address: its jobs
# may not wait for ever on devices that are everybody's.
ASK_AGAIN_S = (1, 4, 10, 25)
# With waiting for others who fetch the same; less than preparing may take, or the device would be blamed.
FETCH_LIMIT_S = 780
# What was fetched this recently may be about to be installed, by whichever worker.
IN_USE_S = 3600
KNOWN_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


_store: Store  # one for the process, as its folder of builds is


def fetch_from(store: Store) -> None:
    """Uploaded builds are there. Said once, before anything is fetched, by whoever makes the worker's connection."""
    global _store
    _store = store


async def fetch(artifact: Artifact) -> Path:
    """The file, under a name that ends as its format does; to be read only, and soon. Raises PrepareError."""
    folder = _folder()
    ready = folder / f"{artifact.sha256}.{_suffix(artifact.url)}"
    try:
        async with asyncio.timeout(FETCH_LIMIT_S), _only_one(folder / f"{artifact.sha256}.lock"):
            if not ready.exists():
                await _receive_patiently(artifact, ready)
            os.utime(ready)
        await asyncio.to_thread(_make_room, folder, ready)
    except TimeoutError:
        shown = downloads.shown(artifact.url)
        raise PrepareError(f"The build at {shown} was not here after {FETCH_LIMIT_S} s.", "source") from None
    except OSError as error:
        raise PrepareError(
            f"The folder of builds {folder} cannot be used: {error.strerror or error}.", "config"
        ) from None
    return ready


async def _receive_patiently(artifact: Artifact, ready: Path) -> None:
    for pause_s in ASK_AGAIN_S:
        try:
            await _receive(artifact, ready)
        except downloads.Unreachable as error:
            log.warning("%s Asking again in %s s.", error, pause_s)
            await asyncio.sleep(pause_s)
        else:
            return
    await _receive(artifact, ready)


async def _receive(artifact: Artifact, ready: Path) -> None:
    """Nothing is visible under its name before all of it is there and is what it should be."""
    most = _megabytes("QGJOB_BUILD_MAX_MB", 2048)
    partial = ready.with_suffix(".part")
    digest, size = hashlib.sha256(), 0
    try:
        with partial.open("wb") as file:
            async with aclosing(_pieces(artifact.url)) as pieces:
                async for piece in pieces:
                    size += len(piece)
                    if size > most:
                        shown = downloads.shown(artifact.url)
                        raise PrepareError(f"The build at {shown} is larger than QGJOB_BUILD_MAX_MB allows.", "source")
                    digest.update(piece)
                    await asyncio.to_thread(file.write, piece)
        if digest.hexdigest() != artifact.sha256:
            # Not what it is: whoever submits may not be allowed to read what this machine is.
            raise PrepareError(
                f"The file at {downloads.shown(artifact.url)} is not the one that was added to the build, whose "
                f"SHA-256 begins with {artifact.sha256[:12]}. Add the new file under another app_version_id.",
                "app",
            )
        partial.replace(ready)
    finally:
        partial.unlink(missing_ok=True)


async def _pieces(url: str) -> AsyncGenerator[bytes]:
    """The content of an artifact, from wherever it is. Raises PrepareError."""
    scheme = urlsplit(url).scheme
    if scheme in ("http", "https"):
        source = downloads.pieces(url)
    elif scheme == "file":
        source = _from_file(Path(unquote(urlsplit(url).path)))
    elif scheme:
        raise PrepareError(f"The build is {url}, which only its provider's devices can install.", "app")
    else:
        source = _store.pieces(url)
    async with aclosing(source):
        async for piece in source:
            yield piece


async def _from_file(path: Path) -> AsyncGenerator[bytes]:
    try:
        with await asyncio.to_thread(_open, path) as file:
            while piece := await asyncio.to_thread(file.read, PIECE):
                yield piece
    except OSError as error:
        raise PrepareError(f"The build {path} cannot be read: {error.strerror}.", "source") from None


def _open(path: Path) -> BinaryIO:
    """Only below where an admin wants builds to be: whoever submits chooses the path, and must not learn of others."""
    folder, real = os.environ.get("QGJOB_BUILD_FOLDER"), path.resolve()
    if not folder or not real.is_relative_to(Path(folder).resolve()):
        raise PrepareError(
            f"The build {path} is not in a folder that this worker installs from (QGJOB_BUILD_FOLDER).", "source"
        )
    if not real.is_file():
        raise PrepareError(f"There is no file {path} on this worker's machine.", "source")
    return real.open("rb")


@asynccontextmanager
async def _only_one(lock: Path) -> AsyncGenerator[None]:
    """Of all processes here and all batches in them. The lock ends with its process."""
    with lock.open("wb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # waiting in a thread would take threads from those who download
                await asyncio.sleep(LOOK_AGAIN_S)
        yield


def _make_room(folder: Path, wanted: Path) -> None:
    """Remove what was used longest ago, until the rest is within QGJOB_CACHE_MB."""
    most = _megabytes("QGJOB_CACHE_MB", 10_240)
    known = [(path, path.stat()) for path in folder.iterdir() if path.suffix != ".lock"]
    total = sum(stat.st_size for _, stat in known)
    for path, stat in sorted(known, key=lambda one: one[1].st_mtime):
        if total <= most or stat.st_mtime > time.time() - IN_USE_S:
            return
        if path != wanted:
            path.unlink(missing_ok=True)
            total -= stat.st_size


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(os.environ.get("QGJOB_CACHE_DIR") or Path(cache) / "qgjob").expanduser().absolute() / "builds"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise PrepareError(
            f"No builds can be kept in {folder} (QGJOB_CACHE_DIR): {error.strerror}.", "config"
        ) from None
    return folder


def _suffix(url: str) -> str:
    """Installers and clouds tell formats by it."""
    suffix = PurePosixPath(unquote(urlsplit(url).path)).suffix.removeprefix(".").lower()
    return suffix if suffix in KNOWN_SUFFIXES else "app"


def _megabytes(variable: str, default: int) -> int:
    value = os.environ.get(variable) or str(default)
    if not value.isascii() or not value.isdigit():
        raise PrepareError(f"{variable} is {value!r}, not a whole number of megabytes.", "config")
    return int(value) * 1_000_000
