"""/builds: what is installed for an app version on each platform. Files are streamed into the object store, where an
organisation has each content once."""

import hashlib
import re
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

import obstore
from litestar import Request, Response, Router, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream
from msgspec import Struct

import sql
from api.access import needs
from api.parameters import Db, Files, Limit
from api.problems import Conflict, Missing, Wrong
from api.upload_limit import UploadLimit
from qgjob.models.builds import ArtifactAdded, Build, BuildPage
from qgjob.models.words import SUFFIXES, Platform
from qgjob.store import build_key

KNOWN = {200: ResponseSpec(ArtifactAdded, generate_examples=False, description="It was known already.")}
PIECE = 256 * 1024
ORG_ID = "[A-Za-z0-9][A-Za-z0-9._+-]*"


class ArtifactAddition(Struct, forbid_unknown_fields=True):
    """POST /builds. Without a url the content is one that the organisation has uploaded before; `size` says how much it
    would send otherwise."""

    org_id: str
    app_version_id: str
    platform: Platform
    sha256: str
    url: str | None = None
    app_id: str | None = None
    suffix: str | None = None
    size: int | None = None


@get("/", summary="List builds, newest first")
async def list_builds(
    db: Db, org_id: FromQuery[str | None] = None, limit: Limit = 50, before: FromQuery[datetime | None] = None
) -> BuildPage:
    builds = await sql.many(db, Build, "list_builds", org_id=org_id or db.org_id, limit=limit, before=before)
    return BuildPage(builds, next_before=builds[-1].created_at if len(builds) == limit else None)


@get("/{org_id:str}/{app_version_id:str}", summary="Look at one build")
async def get_build(org_id: FromPath[str], app_version_id: FromPath[str], db: Db) -> Build:
    return await sql.one(db, Build, "get_build", org_id=org_id, app_version_id=app_version_id)


@post(
    "/",
    opt=needs("submit"),
    summary="Say what is installed for a build: a URL, or content that was uploaded before",
    responses=KNOWN,
)
async def add_artifact(
    data: JSONBody[ArtifactAddition], db: Db, store: Files, upload_limit: NamedDependency[UploadLimit]
) -> Response[ArtifactAdded]:
    await check(db, data.org_id, data.app_version_id, data.platform, data.sha256, data.app_id)
    url, size = data.url, None
    if url is None:
        url = build_key(data.org_id, data.sha256, checked_suffix(data.platform, data.suffix))
        try:
            size = (await obstore.head_async(store, url))["size"]
        except FileNotFoundError:
            upload_limit.check(data.size or 0)  # rather than when all of it was sent
            raise Missing(
                "content_is_stored",
                f"{data.org_id} has not uploaded a file with this SHA-256.",
                hint="Send it: PUT /builds/{org_id}/{app_version_id}/artifacts/{platform}?sha256=…",
            ) from None
    elif url.startswith("builds/"):
        raise Wrong("url_is_usable", "Leave the url out for content that was uploaded.", field="url")
    return added(
        await sql.one(
            db,
            ArtifactAdded,
            "add_artifact",
            org_id=data.org_id,
            app_version_id=data.app_version_id,
            platform=data.platform,
            url=url,
            sha256=data.sha256,
            size=size,
            app_id=data.app_id,
        )
    )


@put(
    "/{org_id:str}/{app_version_id:str}/artifacts/{platform:str}",
    opt=needs("submit"),
    summary="Upload the file that is installed for a build",
    responses=KNOWN,
    request_max_body_size=None,  # streamed, and counted on the way
)
async def upload(
    request: Request[Any, Any, Any],
    org_id: FromPath[str],
    app_version_id: FromPath[str],
    platform: FromPath[Platform],
    sha256: FromQuery[str],
    db: Db,
    store: Files,
    upload_limit: NamedDependency[UploadLimit],
    app_id: FromQuery[str | None] = None,
    suffix: FromQuery[str | None] = None,
) -> Response[ArtifactAdded]:
    await check(db, org_id, app_version_id, platform, sha256, app_id)
    key = build_key(org_id, sha256, checked_suffix(platform, suffix))
    content = Content(request, sha256, upload_limit)
    # Whatever the content raises ends the upload without a trace: nothing is visible under the key before its end.
    await obstore.put_async(store, key, content.checked())
    return added(
        await sql.one(
            db,
            ArtifactAdded,
            "add_artifact",
            org_id=org_id,
            app_version_id=app_version_id,
            platform=platform,
            url=key,
            sha256=sha256,
            size=content.size,
            app_id=app_id,
        )
    )


@get(
    "/{org_id:str}/files/{name:str}",
    opt=needs("work"),
    summary="The file of a build, for workers that do not reach the store",
)
async def get_file(org_id: FromPath[str], name: FromPath[str], db: Db, store: Files) -> Stream:
    sha256, _, suffix = name.partition(".")
    known = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    if not re.fullmatch("[0-9a-f]{64}", sha256) or suffix not in known or not re.fullmatch(ORG_ID, org_id):
        raise Missing("content_is_stored", f"No build has a file {name}.")
    gone = Missing("content_is_stored", f"The object store no longer has {name}: add the build's file again.")
    if db.org_id not in (None, org_id):
        raise gone
    try:
        found = await obstore.get_async(store, build_key(org_id, sha256, suffix))
    except FileNotFoundError:
        raise gone from None

    async def content() -> AsyncGenerator[bytes]:
        async for piece in found.stream(min_chunk_size=PIECE):
            yield bytes(piece)

    headers = {"Content-Length": str(found.meta["size"]), "Content-Disposition": "attachment"}
    return Stream(content(), headers=headers, media_type="application/octet-stream")


class Content:
    """A request's body on its way into the store."""

    def __init__(self, request: Request[Any, Any, Any], sha256: str, limit: UploadLimit) -> None:
        self._request = request
        self._sha256 = sha256
        self._limit = limit
        self.size = 0
        announced = request.headers.get("content-length", "0")
        limit.check(int(announced) if announced.isdigit() else 0)

    async def checked(self) -> AsyncGenerator[bytes]:
        """Piece by piece; raises at the end unless it was what it was announced to be."""
        digest = hashlib.sha256()
        async for piece in self._request.stream():
            self.size += len(piece)
            self._limit.check(self.size)
            digest.update(piece)
            yield piece
        if self.size == 0:
            raise Wrong("size_is_positive", "The file is empty.")
        if digest.hexdigest() != self._sha256:
            raise Conflict(
                "content_has_its_hash",
                f"What arrived is not the file that was announced: its SHA-256 begins with {digest.hexdigest()[:12]}, "
                f"not with {self._sha256[:12]}.",
                hint="Was the file written while it was sent? Send it again.",
            )


async def check(
    db: sql.OnBehalf, org_id: str, app_version_id: str, platform: str, sha256: str, app_id: str | None
) -> None:
    """Before anything is sent or looked up."""
    await sql.call(
        db,
        "check_artifact",
        org_id=org_id,
        app_version_id=app_version_id,
        platform=platform,
        sha256=sha256,
        app_id=app_id,
    )


def checked_suffix(platform: Platform, suffix: str | None) -> str:
    """What installers and clouds tell formats by."""
    known = SUFFIXES[platform]
    if suffix is not None and suffix not in known:
        raise Wrong("suffix_is_known", f"A file for {platform} ends in .{' or .'.join(known)}.", field="suffix")
    return suffix or known[0]


def added(artifact: ArtifactAdded) -> Response[ArtifactAdded]:
    return Response(artifact, status_code=201 if artifact.added else 200)


router = Router("/builds", route_handlers=[list_builds, get_build, add_artifact, upload, get_file], tags=["builds"])
