"""Where workers get builds from and put the files of attempts: the object store itself, or the API in front of it."""

from collections.abc import AsyncGenerator
from typing import Protocol

from qgjob.models.attempts import StoredFile
from worker.batch import Batch, BatchJob, File

PIECE = 1 << 20


class StoreFailed(Exception):
    """A file could not be stored; the message says why."""


class Store(Protocol):
    async def put(self, batch: Batch, job: BatchJob, number: int, file: File) -> StoredFile:
        """Raises StoreFailed."""
        ...

    def pieces(self, key: str) -> AsyncGenerator[bytes]:
        """Of a build. Raises PrepareError."""
        ...
