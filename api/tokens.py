"""/tokens, /trusts and /whoami: who may use the API, and how GitHub Actions do without a stored secret."""

from typing import Annotated, Any

from litestar import Request, Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, SkipValidation
from msgspec import Meta, Struct, structs

import sql
from api.access import OPEN, Access, Caller, needs
from api.oidc import Issuer
from api.parameters import Cursor, Db, Id, Limit
from api.problems import Missing
from qgjob.models.tokens import Exchanged, Identity, Scope, Token, TokenCreated, TokenPage, Trust
from qgjob.tokens import hashed, hint, new_token

Trusted = NamedDependency[SkipValidation[Issuer | None]]
Guard = NamedDependency[SkipValidation[Access]]
AnyRequest = Request[Caller, Any, Any]


class NewToken(Struct, forbid_unknown_fields=True):
    """POST /tokens."""

    name: str
    scopes: list[Scope]
    org_id: str | None = None
    expires_in_s: Annotated[int, Meta(ge=60, le=315_360_000)] | None = None


class NewTrust(Struct, forbid_unknown_fields=True):
    """POST /trusts."""

    org_id: str
    repository_owner_id: str
    repository_id: str | None = None
    ref: str | None = None
    environment: str | None = None
    event_name: str | None = None


class Exchange(Struct, forbid_unknown_fields=True):
    """POST /tokens/oidc. `token` is what GitHub gave to the job."""

    token: Annotated[str, Meta(max_length=20_000)]
    org_id: str | None = None


class ExchangedToken(Struct):
    org_id: str
    scopes: list[Scope]
    expires_at: Any


@get("/whoami", opt=OPEN, summary="What the token that is sent may do")
async def whoami(request: AnyRequest, access: Guard) -> Identity:
    if not access.asks:
        return Identity("off")
    caller = await access.caller(request.headers.get("authorization"))
    return Identity("required", caller.token_id, caller.name, caller.org_id, list(caller.scopes), caller.expires_at)


@post("/tokens", opt=needs("admin"), summary="Create a token; only this answer tells it")
async def create_token(data: JSONBody[NewToken], request: AnyRequest, db: Db) -> Response[TokenCreated]:
    token = new_token()
    created = await sql.one(
        db,
        Token,
        "create_token",
        hash=hashed(token),
        hint=hint(token),
        name=data.name,
        scopes=data.scopes,
        org_id=db.org_id if data.org_id is None else data.org_id,
        expires_in_s=data.expires_in_s,
        created_by=request.user.token_id,
    )
    told = TokenCreated(**structs.asdict(created), token=token)
    return Response(told, status_code=201, headers={"Cache-Control": "no-store"})


@get("/tokens", opt=needs("admin"), summary="List tokens, newest first")
async def list_tokens(
    db: Db, org_id: FromQuery[str | None] = None, limit: Limit = 50, cursor: Cursor = None
) -> TokenPage:
    tokens = await sql.many(db, Token, "list_tokens", org_id=org_id or db.org_id, limit=limit, cursor=cursor)
    return TokenPage(tokens, next_cursor=tokens[-1].token_id if len(tokens) == limit else None)


@delete("/tokens/{token_id:int}", status_code=200, opt=needs("admin"), summary="Revoke a token")
async def revoke_token(token_id: Id, db: Db, access: Guard) -> Token:
    revoked = await sql.one(db, Token, "revoke_token", token_id=token_id, org_id=db.org_id)
    access.forget(token_id)
    return revoked


@post("/tokens/oidc", opt=OPEN, request_max_body_size=64 * 1024, summary="Exchange a token of GitHub Actions")
async def exchange_token(data: JSONBody[Exchange], db: Db, issuer: Trusted) -> Response[Exchanged]:
    claims = await required(issuer).claims(data.token)
    token = new_token()
    given = await sql.one(
        db,
        ExchangedToken,
        "exchange_token",
        issuer=required(issuer).url,
        claims=sql.Json(claims),
        hash=hashed(token),
        hint=hint(token),
        org_id=data.org_id,
    )
    told = Exchanged(token, given.org_id, given.scopes, given.expires_at)
    return Response(told, status_code=201, headers={"Cache-Control": "no-store"})


@get("/trusts", opt=needs("admin"), summary="List whose GitHub Actions are trusted")
async def list_trusts(db: Db, org_id: FromQuery[str | None] = None) -> list[Trust]:
    return await sql.many(db, Trust, "list_trusts", org_id=org_id or db.org_id)


@post("/trusts", opt=needs("admin"), summary="Trust the GitHub Actions of a repository, or of all its owner's")
async def add_trust(data: JSONBody[NewTrust], db: Db, issuer: Trusted) -> Trust:
    return await sql.one(
        db,
        Trust,
        "add_trust",
        org_id=data.org_id,
        issuer=required(issuer).url,
        repository_owner_id=data.repository_owner_id,
        repository_id=data.repository_id,
        ref=data.ref,
        environment=data.environment,
        event_name=data.event_name,
    )


@delete("/trusts/{trust_id:int}", opt=needs("admin"), summary="Trust it no longer, and revoke what it was given")
async def remove_trust(trust_id: Id, db: Db) -> None:
    await sql.call(db, "remove_trust", trust_id=trust_id, org_id=db.org_id)


def required(issuer: Issuer | None) -> Issuer:
    if issuer is None:
        raise Missing(
            "oidc_is_set_up",
            "This server takes no tokens of GitHub.",
            hint="Whoever runs it sets QGJOB_OIDC_AUDIENCE to its public URL.",
        )
    return issuer


router = Router(
    "/",
    route_handlers=[
        whoami,
        create_token,
        list_tokens,
        revoke_token,
        exchange_token,
        list_trusts,
        add_trust,
        remove_trust,
    ],
    tags=["tokens"],
)
