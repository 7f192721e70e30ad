"""`qgjob login`, `logout` and `whoami`: as whom the commands work."""

import sys

import typer

from qgjob.cli import credentials, options, output, settings, words
from qgjob.client import Client
from qgjob.errors import Exit, Usage
from qgjob.tokens import is_token

LOGIN_EPILOG = options.examples("qgjob login", "qgjob login --server-url=https://qgjob.example.com < token.txt")
LOGOUT_EPILOG = options.examples("qgjob logout")
WHOAMI_EPILOG = options.examples("qgjob whoami", "qgjob whoami --json")


def login(*, server_url: options.ServerUrl = None) -> int:
    """Keep a token for a server: asked for, or read from stdin. It is never a flag, for others can see those."""
    url = settings.chosen_server_url(server_url)
    if sys.stdin.isatty():
        token = str(typer.prompt(f"Token for {url}", hide_input=True, err=True)).strip()
    else:
        token = sys.stdin.readline(4096).strip()
    if not is_token(token):
        raise Usage("that is no token of qgjob, or not all of it", hint="it begins with qg_ and has 41 characters")
    client = Client(url, token=token, retry_for_s=settings.retry_for_s(), say=output.say)
    me = client.whoami()
    if me.authentication == "off":
        output.say(f"{url} asks nobody for a token: nothing was kept")
        return Exit.OK
    path = credentials.keep(url, token)
    output.answer(f"Logged in to {url} as {output.one_line(me.name or '')} for {me.org_id or 'all organisations'}")
    output.say(f"kept in {path}")
    return Exit.OK


def logout(*, server_url: options.ServerUrl = None) -> int:
    """Forget the token of a server. It stays valid until it expires or is revoked."""
    url = settings.chosen_server_url(server_url)
    credentials.keep(url, None)
    output.answer(f"Logged out of {url}")
    return Exit.OK


def whoami(*, as_json: options.Json = False, server_url: options.ServerUrl = None) -> int:
    """Say as whom commands work, and what that may do."""
    me = settings.connect(server_url).whoami()
    if as_json:
        output.answer_json("identity", me)
        return Exit.OK
    if me.authentication == "off":
        output.answer("everybody: this server asks nobody for a token")
        return Exit.OK
    output.answer(
        output.fields(
            [
                ("token", f"{me.token_id} ({output.one_line(me.name or '')})"),
                ("organisation", me.org_id or "all"),
                ("scopes", ", ".join(me.scopes)),
                ("expires", words.moment(me.expires_at) or "never"),
            ]
        )
    )
    return Exit.OK
