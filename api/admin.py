"""python -m api token: the first token of a server, by whoever has its database. All others come from `qgjob token`."""

import asyncio
from typing import Annotated

import psycopg
import typer

import sql
from qgjob.errors import Refused, Unavailable
from qgjob.models.tokens import Token
from qgjob.tokens import hashed, hint, new_token
from sql.addresses import database_url
from sql.schema import require

token_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@token_app.callback()
def token() -> None:
    """Create a token without having one: needs QGJOB_DATABASE_URL."""


@token_app.command(epilog="Example: python -m api token create --scope admin")
def create(
    scope: Annotated[list[str], typer.Option(help="submit, read, work or admin; repeats.")],
    org_id: Annotated[str | None, typer.Option(help="Its organisation; none: all, for work and admin.")] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "created at the database",
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=3650, help="Default: it does not expire.")] = None,
) -> None:
    """Create a token and print it: the only time that anybody sees it."""
    url = database_url()
    text = new_token()
    try:
        created = asyncio.run(stored(url, text, scope, org_id, name, expires_in_days))
    except psycopg.Error as error:  # also where the pool finds no connection
        known = error.diag.message_primary
        raise Refused(known) if known else Unavailable(str(error)) from None
    whose = created.org_id or "all organisations"
    typer.echo(f"token {created.token_id} for {whose}: {', '.join(created.scopes)}", err=True)
    typer.echo(text)


async def stored(
    url: str, text: str, scopes: list[str], org_id: str | None, name: str, expires_in_days: int | None
) -> Token:
    await require(url)
    async with sql.open_pool(url, size=1) as db:
        return await sql.one(
            db,
            Token,
            "create_token",
            hash=hashed(text),
            hint=hint(text),
            name=name,
            scopes=scopes,
            org_id=org_id,
            expires_in_s=None if expires_in_days is None else expires_in_days * 86_400,
        )
