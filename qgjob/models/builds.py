"""Versions of an app, and what is installed for them."""

from datetime import datetime

from msgspec import Struct

from qgjob.models.words import Platform


class Artifact(Struct):
    """What is installed for a build on a platform. `url`: where workers get it, a key of the object store or a URL."""

    platform: Platform
    url: str
    sha256: str
    size: int | None
    app_id: str | None
    created_at: datetime


class ArtifactAdded(Artifact):
    """The answer to POST /builds. `added` is false where this was known."""

    org_id: str
    app_version_id: str
    added: bool


class Build(Struct):
    """One version of an app."""

    org_id: str
    app_version_id: str
    created_at: datetime
    artifacts: list[Artifact]


class BuildPage(Struct):
    """GET /builds: newest first. Pass `next_before` as `before` for what follows; null at the end."""

    builds: list[Build]
    next_before: datetime | None
