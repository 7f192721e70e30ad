"""Who calls, and what they may: one guard in front of every route.

A token is looked up once in some seconds for a process, which is how long a revoked one may go on working. Who waits is
looked up again before he is answered.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import SkipValidation
from msgspec import Struct
from psycopg_pool import PoolTimeout

import sql
from api.problems import Forbidden, Unauthenticated
from qgjob.models.tokens import Scope
from qgjob.tokens import hashed, is_token

KNOWN_FOR_S = 5.0
MOST_KNOWN = 10_000
# What is open to everybody is answered soon, also while there is no database: probes do not wait for long.
OPEN_S = 2.0
AnyConnection = ASGIConnection[Any, Any, Any, Any]

# What else a scope opens. `work` is the protocol of workers and nothing else.
OPENS: dict[Scope, set[Scope]] = {
    "submit": {"submit", "read"},
    "read": {"read"},
    "work": {"work"},
    "admin": {"submit", "read", "work", "admin"},
}


class Caller(Struct, frozen=True):
    """Whose token it is. org_id None: of all organisations."""

    token_id: int | None = None
    hint: str = ""
    name: str | None = None
    org_id: str | None = None
    scopes: tuple[Scope, ...] = ()
    expires_at: datetime | None = None
    expires_in_s: float | None = None

    def may(self, scope: Scope) -> bool:
        return any(scope in OPENS[own] for own in self.scopes)


NOBODY = Caller()
# Where nobody is asked, everybody may do everything.
EVERYBODY = Caller(scopes=("admin",))


def needs(scope: Scope) -> dict[str, Any]:
    """The `opt` of a route that this scope opens. Without it: `read` for GET, `admin` for everything else."""
    return {"scope": scope}


# The dependency of routes that wait: see Access.admit_again.
Again = NamedDependency[SkipValidation[Callable[[], Awaitable[None]]]]
OPEN: dict[str, Any] = {"scope": None}  # the `opt` of a route for everybody


class Access:
    """The guard. `asks` is False where no token is needed; those that are sent are not looked at then."""

    def __init__(self, db: sql.Database, *, asks: bool) -> None:
        self._db = db
        self.asks = asks
        self._known: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    async def admit(self, connection: AnyConnection, handler: BaseRouteHandler) -> None:
        """Called by the framework before anything of the body is read."""
        connection.scope["user"] = await self._admitted(connection, handler)

    async def _admitted(self, connection: AnyConnection, handler: BaseRouteHandler) -> Caller:
        if not self.asks:
            return EVERYBODY
        header = connection.headers.get("authorization")
        reads = isinstance(connection, Request) and connection.method in ("GET", "HEAD")
        scope: Scope | None = handler.opt.get("scope", "read" if reads else "admin")
        if is_open(connection, scope):
            try:
                return await sql.within(OPEN_S, self.caller(header)) if header else NOBODY
            except (Unauthenticated, psycopg.Error, PoolTimeout):
                return NOBODY
        caller = await self.caller(header)
        if scope is not None and not caller.may(scope):
            raise Forbidden(
                "scope_suffices",
                f"This token has the scope {' and '.join(caller.scopes)}; this needs {scope}.",
                hint="qgjob whoami tells what a token may; an admin creates another with qgjob token create.",
            )
        return caller

    async def caller(self, header: str | None) -> Caller:
        """Raises Unauthenticated, or what SQL says to an unknown token."""
        scheme, _, token = (header or "").strip().partition(" ")
        token = token.strip()
        if not header:
            raise Unauthenticated(
                "token_is_shown",
                "This server wants to know who asks.",
                hint="Log in with qgjob login, or set QGJOB_TOKEN.",
            )
        if scheme.lower() != "bearer" or not is_token(token):
            raise Unauthenticated("token_is_valid", "What was sent is no token of qgjob.", hint="It begins with qg_.")
        key, now = hashed(token), time.monotonic()
        caller, until = self._known.get(key, (NOBODY, 0.0))
        if now < until:
            return caller
        try:
            caller = await sql.one(self._db, Caller, "resolve_token", hash=key)
        except psycopg.Error as error:
            self._known.pop(key, None)
            if error.sqlstate != "QJ401":
                raise
            raise Unauthenticated(
                "token_is_valid", error.diag.message_primary or "This token is not valid.", hint=error.diag.message_hint
            ) from None
        self._known[key] = caller, now + min(KNOWN_FOR_S, caller.expires_in_s or KNOWN_FOR_S)
        self._known.move_to_end(key)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return caller

    async def admit_again(self, connection: AnyConnection) -> None:
        """For who has waited, or goes on reading: the token may have been revoked, or expired, meanwhile. Raises as
        `caller` does."""
        if self.asks:
            await self.caller(connection.headers.get("authorization"))

    def forget(self, token_id: int) -> None:
        """Revoked through this process: at once here."""
        for key in [key for key, (caller, _) in self._known.items() if caller.token_id == token_id]:
            del self._known[key]

    def again(self, request: Request[Any, Any, Any]) -> Callable[[], Awaitable[None]]:
        """The dependency `admit_again`."""
        return partial(self.admit_again, request)

    def database(self, request: Request[Any, Any, Any]) -> sql.OnBehalf:
        """The dependency `db` of every route."""
        return sql.OnBehalf(self._db, request.scope["user"].org_id, asked=self.asks)


def is_open(connection: AnyConnection, scope: Scope | None) -> bool:
    """The description of the API is the same everywhere, and public."""
    path = connection.scope["path"]
    return scope is None or path == "/schema" or path.startswith("/schema/")
