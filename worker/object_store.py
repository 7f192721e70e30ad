"""The object store, for workers that reach it."""

from collections.abc import AsyncGenerator

import obstore

from qgjob.models.attempts import StoredFile
from qgjob.store import StoreError, attempt_key, first_line, open_store
from worker.batch import Batch, BatchJob, File, PrepareError
from worker.stores import PIECE, StoreFailed


class ObjectStore:
    """Implements worker.stores.Store. Raises Usage where QGJOB_STORE_URL names none."""

    def __init__(self) -> None:
        self._store = open_store()

    async def put(self, batch: Batch, job: BatchJob, number: int, file: File) -> StoredFile:
        key = attempt_key(batch.org_id, job.job_id, job.attempt, number, file.name)
        try:
            await obstore.put_async(self._store, key, file.path)
        except StoreError as error:
            raise StoreFailed(first_line(error)) from None
        return StoredFile(file.name, file.content_type, file.path.stat().st_size, key)

    async def pieces(self, key: str) -> AsyncGenerator[bytes]:
        try:
            found = await obstore.get_async(self._store, key)
            async for piece in found.stream(min_chunk_size=PIECE):
                yield bytes(piece)
        except FileNotFoundError:
            raise PrepareError(
                f"The object store does not hold {key}: add the build's file again, or give this worker the "
                "QGJOB_STORE_URL that the API has.",
                "source",
            ) from None
        except StoreError as error:
            raise PrepareError(f"The object store cannot be used: {first_line(error)}.", "provider") from None
