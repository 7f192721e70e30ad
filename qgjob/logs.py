"""Log lines of the services: plain, or with QGJOB_LOG=json one JSON object each, with the ids that they are about."""

import logging
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec

from qgjob.errors import Usage

REPEATED_S = 60.0
PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"
VARIABLE = "QGJOB_LOG"
_about: ContextVar[dict[str, Any]] = ContextVar("about", default={})  # noqa: B039 - replaced, never changed


class JsonLines(logging.Formatter):
    """request_id, run_id, batch_id, job_id … beside the message, which stays one line of the file in any case."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_about.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class Seldom(logging.Filter):
    """Each message once in a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, message = time.monotonic(), record.getMessage()
        self._told = {text: at for text, at in self._told.items() if now < at + REPEATED_S}
        return self._told.setdefault(message, now) == now


@cache
def seldom(name: str) -> logging.Logger:
    """For troubles that last, and are met at every attempt: each is told once in a minute."""
    log = logging.getLogger(name)
    log.addFilter(Seldom())
    return log


def is_json() -> bool:
    return os.environ.get(VARIABLE) == "json"


def configure() -> None:
    """Raises Usage. Of the whole process; what libraries say comes in the same form."""
    said = os.environ.get(VARIABLE) or "plain"
    if said not in ("plain", "json"):
        raise Usage(f"{VARIABLE} is plain or json, not {said!r}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if said == "json" else logging.Formatter(PLAIN))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def bind(**ids: object) -> None:
    """What this task is about from now on; tasks that it starts later inherit it."""
    _about.set(_about.get() | ids)


@contextmanager
def about(**ids: object) -> Generator[None]:
    """What is logged inside is about these."""
    token = _about.set(_about.get() | ids)
    try:
        yield
    finally:
        _about.reset(token)
