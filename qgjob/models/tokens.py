"""Who callers are, and what they may do."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

Scope = Literal["submit", "read", "work", "admin"]


class Token(Struct):
    """A token as its administrators see it: its text is known to its owner only."""

    token_id: int
    hint: str
    name: str
    org_id: str | None
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class TokenPage(Struct):
    tokens: list[Token]
    next_cursor: int | None


class TokenCreated(Token):
    """The only answer that tells a token."""

    token: str


class Exchanged(Struct):
    """For a token of GitHub: a short one of this server."""

    token: str
    org_id: str
    scopes: list[Scope]
    expires_at: datetime


class Identity(Struct):
    """GET /whoami. `authentication` is off where nobody is asked for a token."""

    authentication: Literal["required", "off"]
    token_id: int | None = None
    name: str | None = None
    org_id: str | None = None
    scopes: list[Scope] = []
    expires_at: datetime | None = None


class Trust(Struct):
    """Whose GitHub Actions get tokens of an organisation; null lets everything through."""

    trust_id: int
    org_id: str
    issuer: str
    repository_owner_id: str
    repository_id: str | None
    ref: str | None
    environment: str | None
    event_name: str | None
    created_at: datetime
