"""Every failure as application/problem+json: what was wrong, in a sentence, and which field."""

import logging
import re
from collections.abc import Iterator
from typing import Any, ClassVar, cast

import psycopg
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException, ValidationException
from msgspec import to_builtins
from psycopg_pool import PoolTimeout

from qgjob.models.problem import Problem
from qgjob.problems import OF_VALUES, status_of
from qgjob.store import BaseStoreError, first_line

log = logging.getLogger("api")
ROUTES_ARE_LISTED = "The routes are listed at /schema."
AnyRequest = Request[Any, Any, Any]
QUOTA_RETRY_S = "10"  # devices take jobs a batch at a time
TOO_LATE = {
    "57014": Problem(
        type="urn:qgjob:answer_is_in_time",
        status=504,
        title="The database took too long, and was told to stop.",
        hint="Nothing was changed. Ask for less at a time, or try again.",
    ),
    "55P03": Problem(
        type="urn:qgjob:lock_is_free",
        status=503,
        title="Somebody else has been changing the same thing for too long.",
        hint="Nothing was changed; try again.",
    ),
}
PROBLEM_JSON = "application/problem+json"


class Refusal(Exception):
    """What the API itself refuses, because only it sees the object store and the body's bytes."""

    status: ClassVar[int]

    def __init__(
        self,
        rule: str,
        title: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(title)
        self.retry_after_s = retry_after_s
        self.problem = Problem(type=f"urn:qgjob:{rule}", status=self.status, title=title, hint=hint, field=field)


class Unauthenticated(Refusal):
    status = 401


class Forbidden(Refusal):
    status = 403


class Missing(Refusal):
    status = 404


class Conflict(Refusal):
    status = 409


class TooLarge(Refusal):
    status = 413


class Wrong(Refusal):
    status = 422


class Unavailable(Refusal):
    """Something that the API needs does not answer just now."""

    status = 503

    def __init__(self, rule: str, title: str, *, retry_after_s: int) -> None:
        super().__init__(rule, title, hint="Nothing was decided; try again.", retry_after_s=retry_after_s)


class TooMany(Refusal):
    status = 429


def answer(problem: Problem, headers: dict[str, str] | None = None) -> Response[Any]:
    if problem.status == 401:
        headers = {"WWW-Authenticate": 'Bearer realm="qgjob"', **(headers or {})}
    return Response(to_builtins(problem), status_code=problem.status, media_type=PROBLEM_JSON, headers=headers)


def from_database(request: AnyRequest, error: psycopg.Error) -> Response[Any]:
    """A refusal by a SQL function or a constraint; what is neither is not told to the client."""
    status = status_of(error.sqlstate)
    said = error.diag
    if isinstance(error, psycopg.DataError) and error.sqlstate is None:  # psycopg itself refused a value, such as NUL
        return answer(Problem(type="urn:qgjob:value_is_storable", status=422, title=f"{error}."))
    if error.sqlstate in TOO_LATE:
        log.warning("%s %s: %s", request.method, request.url.path, str(error).strip())
        return answer(TOO_LATE[error.sqlstate], {"Retry-After": "5"})
    if status == 503:
        log.warning("database unavailable: %s", str(error).strip())
        problem = Problem(
            type="urn:qgjob:database_is_available",
            status=503,
            title="The database cannot be reached just now.",
            hint="Nothing was decided; try again.",
        )
        return answer(problem, {"Retry-After": "1"})
    if status == 500:
        return unexpected(request, error)
    kind = said.constraint_name or "value_is_valid"
    own = (error.sqlstate or "").startswith("QJ")
    # PostgreSQL's own words on a value are plain; those on a constraint show tables, and rows.
    of_value = (error.sqlstate or "").startswith(OF_VALUES)
    title = said.message_primary if own or of_value else f"The rule {kind} is broken."
    hint = said.message_hint or (said.message_detail if of_value else None)
    problem = Problem(type=f"urn:qgjob:{kind}", status=status, title=title or kind, hint=hint, field=said.column_name)
    return answer(problem, {"Retry-After": QUOTA_RETRY_S} if status == 429 else None)


def from_validation(request: AnyRequest, error: ValidationException) -> Response[Any]:
    first: Any = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    field, message = first.get("key"), str(first.get("message") or error.detail)
    if message == "'data'":  # how the framework says that there is no body
        message = "The request needs a JSON body."
    if field == "data":  # the body as a whole; msgspec names what is missing or unknown in it between backticks
        named = re.search("`([^`]+)`", message)
        field = named[1] if named else None
        title = message
    else:
        title = f"{field}: {message}" if field else message
    allowed = choices(request, str(field)) if message.startswith("Invalid enum value") else []
    hint = f"One of {', '.join(allowed)}." if allowed else None
    return answer(Problem(type="urn:qgjob:request_is_well_formed", status=422, title=title, hint=hint, field=field))


def choices(request: AnyRequest, field: str) -> list[str]:
    """What the document of the API allows for this query parameter, where that is a list of words."""
    item: Any = (request.app.openapi_schema.paths or {}).get(request.scope["path_template"])
    operation: Any = getattr(item, str(request.method).lower(), None)
    parameters: list[Any] = (operation and operation.parameters) or []
    return [word for one in parameters if one.name == field for word in words_of(one.schema.to_schema())]


def words_of(schema: Any) -> Iterator[str]:
    """Every word in an `enum` of a JSON schema."""
    if isinstance(schema, dict):
        for key, part in cast("dict[str, Any]", schema).items():
            yield from (word for word in part if isinstance(word, str)) if key == "enum" else words_of(part)
    elif isinstance(schema, list):
        for part in cast("list[object]", schema):
            yield from words_of(part)


def from_http(request: AnyRequest, error: HTTPException) -> Response[Any]:
    if isinstance(error, NotFoundException):
        problem = from_unknown_path(request.url.path)
    elif isinstance(error, MethodNotAllowedException):
        problem = Problem(
            type="urn:qgjob:method_is_allowed",
            status=405,
            title=f"There is no {request.method} of {request.url.path}.",
            hint=ROUTES_ARE_LISTED,
        )
    else:
        kind = {400: "request_is_well_formed", 413: "body_is_small_enough"}
        problem = Problem(
            type=f"urn:qgjob:{kind.get(error.status_code, 'request_is_acceptable')}",
            status=error.status_code,
            title=str(error.detail),
        )
    return answer(problem, dict(error.headers) if error.headers else None)


def from_unknown_path(path: str) -> Problem:
    """Also an id that is not a number ends here, and is as unknown as any other."""
    noun, _, identifier = path.strip("/").partition("/")
    if noun in ("jobs", "runs", "webhooks", "workers") and identifier and "/" not in identifier:
        kind = noun.removesuffix("s")
        return Problem(type=f"urn:qgjob:{kind}_exists", status=404, title=f"There is no {kind} {identifier}.")
    return Problem(
        type="urn:qgjob:route_exists",
        status=404,
        title=f"There is nothing at {path}.",
        hint=ROUTES_ARE_LISTED,
    )


def from_pool(request: AnyRequest, error: PoolTimeout) -> Response[Any]:
    return from_database(request, psycopg.OperationalError(str(error)))


def from_body(request: AnyRequest, error: UnicodeDecodeError | RecursionError) -> Response[Any]:
    """What the JSON decoder of the framework lets through as an exception of its own."""
    problem = Problem(
        type="urn:qgjob:request_is_well_formed", status=400, title="The body is not JSON that can be read."
    )
    return answer(problem)


def from_refusal(request: AnyRequest, refusal: Refusal) -> Response[Any]:
    retry = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s else None
    return answer(refusal.problem, retry)


def from_store(request: AnyRequest, error: BaseStoreError) -> Response[Any]:
    log.warning("object store unavailable: %s", first_line(error))
    problem = Problem(
        type="urn:qgjob:store_is_available",
        status=503,
        title="The object store cannot be used just now.",
        hint="Nothing was decided; try again.",
    )
    return answer(problem, {"Retry-After": "5"})


def unexpected(request: AnyRequest, error: Exception) -> Response[Any]:
    """Nothing of the error is told to the client but where to find it in the log."""
    request_id: str = cast(Any, request.scope)["request_id"]  # as Observed has set it
    log.error("request %s, %s %s, failed", request_id, request.method, request.url.path, exc_info=error)
    problem = Problem(
        type="urn:qgjob:server_is_sound",
        status=500,
        title="Something went wrong in the server.",
        hint="The request_id is in the server's log.",
        request_id=request_id,
    )
    return answer(problem)


HANDLERS: dict[Any, Any] = {
    psycopg.Error: from_database,
    PoolTimeout: from_pool,
    ValidationException: from_validation,
    HTTPException: from_http,
    UnicodeDecodeError: from_body,
    RecursionError: from_body,
    Refusal: from_refusal,
    BaseStoreError: from_store,
    PermissionError: from_store,
    Exception: unexpected,
}
