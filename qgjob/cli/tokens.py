"""`qgjob token`: who may use the server."""

from enum import StrEnum
from typing import Annotated

import typer

from qgjob.cli import options, output, settings, words
from qgjob.cli.naming import note_unknown, number_of
from qgjob.cli.paging import page_of, say_more
from qgjob.errors import Exit, Usage
from qgjob.models.tokens import Token
from qgjob.transport import Params

EPILOG = options.examples("qgjob token create --org-id=qualgent --name=ci", "qgjob token list", "qgjob token revoke 3")
CREATE_EPILOG = options.examples(
    "qgjob token create --org-id=qualgent --name=ci --expires-in=30d",
    "qgjob token create --name=lab --scope=work --expires-in=never",
)
LIST_EPILOG = options.examples("qgjob token list --org-id=qualgent")
REVOKE_EPILOG = options.examples("qgjob token revoke 3")

SHORTEST_S = 60

token_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


class ScopeName(StrEnum):
    """The `Scope` of the API, as typer needs it."""

    submit = "submit"
    read = "read"
    work = "work"
    admin = "admin"


@token_app.callback(epilog=EPILOG)
def token() -> None:
    """Create, list and revoke tokens. Needs one with the scope admin."""


@token_app.command(epilog=CREATE_EPILOG)
def create(
    *,
    org_id: options.OrgId = None,
    name: Annotated[str, typer.Option("--name", help="What it is for.")],
    scope: Annotated[
        list[ScopeName] | None,
        typer.Option("--scope", help="What it may do; repeats. submit, the default, may read, too; admin everything."),
    ] = None,
    expires_in: Annotated[
        str, typer.Option("--expires-in", metavar="TIME", help="How long it is valid, or `never`.")
    ] = "90d",
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Create a token for an organisation; one to work or administer without --org-id is for all.

    It is printed once and kept nowhere.
    """
    seconds = None if expires_in == "never" else int(words.seconds(expires_in, option="--expires-in"))
    if seconds is not None and seconds < SHORTEST_S:
        raise Usage(f"--expires-in {expires_in!r} is less than a minute")
    scopes = [one.value for one in scope or [ScopeName.submit]]
    client = settings.connect(server_url)
    note_unknown(client, org_id)
    created = client.create_token({"org_id": org_id, "name": name, "scopes": scopes, "expires_in_s": seconds})
    if as_json:
        output.answer_json("token", created)
        return Exit.OK
    whose = created.org_id or "all organisations"
    until = f"until {words.moment(created.expires_at)}" if created.expires_at else "without end"
    output.say(f"token {created.token_id} for {whose}, to {', '.join(created.scopes)}, {until}:")
    output.answer(created.token)
    return Exit.OK


@token_app.command("list", epilog=LIST_EPILOG)
def list_tokens(
    *,
    org_id: options.OrgId = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """List tokens, newest first: whose they are, what they may, when they were last used."""
    asked: Params = [*([("org_id", org_id)] if org_id else []), ("limit", limit)]
    page = settings.connect(server_url).tokens(page_of(asked, cursor))
    if as_json:
        output.answer_json("tokens", page)
        return Exit.OK
    output.rows("TOKEN NAME ORGANISATION SCOPES BEGINS USED VALID", [row(one) for one in page.tokens], empty="no token")
    say_more("token", "list", asked=asked, next_cursor=page.next_cursor)
    return Exit.OK


def row(one: Token) -> tuple[str, ...]:
    until = words.moment(one.expires_at)
    return (
        str(one.token_id),
        one.name,
        one.org_id or "all",
        ",".join(one.scopes),
        one.hint + "…",
        words.moment(one.last_used_at) or "never",
        f"revoked {words.moment(one.revoked_at)}" if one.revoked_at else f"until {until}" if until else "without end",
    )


@token_app.command(epilog=REVOKE_EPILOG)
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN_ID", callback=number_of("token", "qgjob token list"))],
    *,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Revoke a token. Within 5 seconds it opens nothing any more."""
    revoked = settings.connect(server_url).revoke_token(token_id)
    if as_json:
        output.answer_json("token", revoked)
    else:
        output.answer(f"Token {revoked.token_id} ({output.one_line(revoked.name)}) is revoked")
    return Exit.OK
