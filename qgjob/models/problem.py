"""Errors."""

from msgspec import Struct


class Problem(Struct, omit_defaults=True):
    """application/problem+json (RFC 9457): `type` is stable, `title` is a sentence a person can act on."""

    type: str
    status: int
    title: str
    hint: str | None = None
    field: str | None = None
    request_id: str | None = None
