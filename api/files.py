"""/jobs/{id}/artifacts: the files that attempts left behind, streamed from the object store."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any
from urllib.parse import quote

import obstore
from litestar import Request, Router, get, put
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream
from msgspec import Struct

import sql
from api.access import needs
from api.parameters import LARGEST, Db, Files, Id
from api.problems import Conflict, Missing
from api.upload_limit import UploadLimit
from qgjob.models.attempts import AttemptFile, StoredFile
from qgjob.store import attempt_key

Number = Annotated[int, PathParameter(ge=1, le=32_767)]
PIECE = 256 * 1024
# What a browser shows without running anything of it. All else is bytes to it.
SHOWN = {
    "application/json",
    "application/zip",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/plain",
    "video/mp4",
    "video/webm",
}


class LocatedFile(AttemptFile):
    """Where the file is; not told to clients."""

    key: str


class RunningAttempt(Struct):
    org_id: str
    attempt: int


@get("/{job_id:int}/artifacts", summary="The files that the job's attempts left behind")
async def list_files(job_id: Id, db: Db) -> list[AttemptFile]:
    return await sql.many(db, AttemptFile, "list_files", job_id=job_id, org_id=db.org_id)


@get("/{job_id:int}/artifacts/{attempt:int}/{number:int}", summary="One of these files")
async def get_file(job_id: Id, attempt: Number, number: Number, db: Db, store: Files) -> Stream:
    file = await sql.one(db, LocatedFile, "get_file", job_id=job_id, attempt=attempt, number=number, org_id=db.org_id)
    try:
        found = await obstore.get_async(store, file.key)
    except FileNotFoundError:
        raise Missing("file_is_stored", f"The store no longer has file {number} of attempt {attempt}.") from None

    async def content() -> AsyncGenerator[bytes]:
        async for piece in found.stream(min_chunk_size=PIECE):
            yield bytes(piece)

    headers = {
        "Content-Length": str(found.meta["size"]),
        "Content-Disposition": disposition(file.name),
        # Specs are not to be trusted with the origin of the API.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, immutable, max-age=86400",
    }
    shown = file.content_type if file.content_type in SHOWN else "application/octet-stream"
    return Stream(content(), headers=headers, media_type=shown)


@put(
    "/{job_id:int}/artifacts/{attempt:int}/{number:int}",
    opt=needs("work"),
    summary="A worker keeps a file of the attempt that it runs; its report names it",
    request_max_body_size=None,  # streamed, and counted on the way
)
async def put_file(
    request: Request[Any, Any, Any],
    job_id: Id,
    attempt: Number,
    number: Number,
    lease: Annotated[int, QueryParameter(ge=1, le=LARGEST)],
    name: Annotated[str, QueryParameter(max_length=300)],
    db: Db,
    store: Files,
    upload_limit: NamedDependency[UploadLimit],
    content_type: Annotated[str, QueryParameter(max_length=150)] = "application/octet-stream",
) -> StoredFile:
    held = await sql.one(db, RunningAttempt, "locate_attempt", lease=lease, job_id=job_id)
    if held.attempt != attempt:
        raise Conflict("attempt_is_running", f"Job {job_id} is at attempt {held.attempt}, not {attempt}.")
    key, size = attempt_key(held.org_id, job_id, attempt, number, name), 0

    async def counted() -> AsyncGenerator[bytes]:
        nonlocal size
        async for piece in request.stream():
            size += len(piece)
            upload_limit.check_file(size)
            yield piece

    # Whatever is raised inside ends the upload without a trace: nothing is visible under the key before its end.
    await obstore.put_async(store, key, counted())
    return StoredFile(name, content_type, size, key)


def disposition(name: str) -> str:
    """Saved, never shown in place, and under a name without folders."""
    last = name.replace("\\", "/").rpartition("/")[2] or "file"
    plain = "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in '"\\%' else "_" for letter in last
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(last, safe='')}"


router = Router("/jobs", route_handlers=[list_files, get_file, put_file], tags=["jobs"])
