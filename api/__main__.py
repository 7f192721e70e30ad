"""python -m api: serve the REST API of one database. Start as many as you like."""

import asyncio
import logging
import os
import resource
import socket
from typing import Annotated
from urllib.parse import urlsplit

import typer
import uvicorn

import sql
from api.admin import token_app
from api.announcements import Announcements
from api.app import Settings, create_app
from api.oidc import GITHUB, Issuer
from api.sending import read_settings
from api.upload_limit import UploadLimit
from qgjob import logs, tracing
from qgjob.errors import Usage
from qgjob.store import open_store
from qgjob.usage import run_service
from sql.addresses import database_url, listen_url
from sql.schema import require, require_role

LOOPBACK = ("127.0.0.1", "::1", "localhost")

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(token_app, name="token")


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65_535)] = 8080,
    pool_size: Annotated[int, typer.Option(help="Database connections at most.", min=1)] = 10,
    without_authentication: Annotated[bool, typer.Option(help="Ask nobody for a token, also beyond loopback.")] = False,
) -> None:
    """Serve the REST API. Needs QGJOB_DATABASE_URL; QGJOB_LISTEN_URL where that one leads through a pooler.

    Callers need a token, except on loopback; QGJOB_AUTH=required asks for one there, too. The first one comes from:
    python -m api token create --scope admin
    """
    if context.invoked_subcommand is not None:
        return
    url = database_url()
    announcements = Announcements(listen_url())
    asks = asks_for_tokens(host, without_authentication)
    limit = UploadLimit(megabytes("QGJOB_BUILD_MAX_MB", 2048), megabytes("QGJOB_ATTEMPT_MB", 50))
    store = open_store()
    webhook_settings = read_settings()
    issuer = issuer_of_environment()
    logs.configure()
    sql.prepare_threshold()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request, otherwise
    asyncio.run(require(url))
    asyncio.run(require_role(url, asks=asks))
    # On loopback a foreign name in Host is a browser that was led here by somebody's DNS.
    hosts = LOOPBACK if host in LOOPBACK else None
    # Each client that waits is an open file, and 1024 is what many systems begin with.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    traces = tracing.start("qgjob-api")
    settings = Settings(
        database_url=url,
        pool_size=pool_size,
        hosts=hosts,
        asks=asks,
        issuer=issuer,
        upload_limit=limit,
        webhooks=webhook_settings,
    )
    served = create_app(settings, announcements, store, traces)
    listener = bound(host, port)
    config = uvicorn.Config(
        served, log_level="warning", access_log=False, server_header=False,
        # Whoever waits has been answered by then; what is still being sent gets so long.
        timeout_graceful_shutdown=30,
    )  # fmt: skip
    how = "callers show a token" if asks else "nobody is asked for a token"
    Server(config, announcements, f"http://{host}:{listener.getsockname()[1]}, {how}").run([listener])


def bound(host: str, port: int) -> socket.socket:
    """Where to listen later. Who cannot says so in one sentence, before anything is served."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise Usage(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    return listener


def asks_for_tokens(host: str, without_authentication: bool) -> bool:
    wanted = os.environ.get("QGJOB_AUTH") or ("off" if without_authentication or host in LOOPBACK else "required")
    if wanted not in ("required", "off"):
        raise Usage(f"QGJOB_AUTH is required or off, not {wanted}")
    if wanted == "required" and without_authentication:
        raise Usage("QGJOB_AUTH=required and --without-authentication contradict each other")
    if wanted == "off" and host not in LOOPBACK and not without_authentication:
        raise Usage(
            f"QGJOB_AUTH=off on {host} would let everybody in",
            hint="say --without-authentication, too, if you mean it",
        )
    return wanted == "required"


def issuer_of_environment() -> Issuer | None:
    """Raises Usage."""
    audience = os.environ.get("QGJOB_OIDC_AUDIENCE")
    if not audience:
        return None
    parts = urlsplit(audience)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.path or parts.query or parts.fragment:
        raise Usage("QGJOB_OIDC_AUDIENCE is the public URL of this server without a path: https://qgjob.example.com")
    return Issuer(os.environ.get("QGJOB_OIDC_ISSUER") or GITHUB, audience)


def megabytes(variable: str, default: int) -> int:
    value = os.environ.get(variable) or str(default)
    if not value.isascii() or not value.isdigit():
        raise Usage(f"{variable} is a whole number of megabytes")
    return int(value)


class Server(uvicorn.Server):
    """Says when it serves, and answers who waits before it ends: it would wait for them, and they for a change."""

    def __init__(self, config: uvicorn.Config, announcements: Announcements, where: str) -> None:
        super().__init__(config)
        self._announcements = announcements
        self._where = where

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            logging.getLogger("api").info("serving %s", self._where)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._announcements.leave()
        await super().shutdown(sockets)


if __name__ == "__main__":
    run_service(app)
