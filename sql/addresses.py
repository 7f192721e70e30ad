"""Where the database is, read alike by migrations, API and workers: QGJOB_DATABASE_URL, and QGJOB_LISTEN_URL."""

import os

import psycopg
from psycopg.conninfo import conninfo_to_dict

from qgjob.errors import Usage


def database_url() -> str:
    """Raises Usage."""
    url = os.environ.get("QGJOB_DATABASE_URL")
    if not url:
        raise Usage("set QGJOB_DATABASE_URL, for example postgresql://user:password@host:5432/qgjob")
    return _checked("QGJOB_DATABASE_URL", url)


def listen_url() -> str | None:
    """For hearing notifications, where the other one leads through a pooler. None: it was set to nothing, and nobody
    listens. Raises Usage."""
    url = os.environ.get("QGJOB_LISTEN_URL")
    return database_url() if url is None else _checked("QGJOB_LISTEN_URL", url) if url else None


def _checked(variable: str, url: str) -> str:
    """What is wrong is not repeated, for there may be a password in it."""
    if not _is_address(url):
        raise Usage(f"{variable} is not a URL of the form postgresql://user:password@host:5432/database")
    return url


def _is_address(url: str) -> bool:
    try:
        ports = str(conninfo_to_dict(url).get("port") or "").split(",")
    except psycopg.ProgrammingError:
        return False
    return url.startswith(("postgresql://", "postgres://")) and all(not port or port.isdecimal() for port in ports)
