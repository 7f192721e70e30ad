"""While PostgreSQL is away the API says so at once, and it is back with PostgreSQL."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from callers import ask, token
from engine import Engine
from faulty_network import Wire
from processes import Services, both_transports
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier
from test_metrics import scraped

from qgjob.children import wait_until


@pytest.fixture
def wire(database_url: str) -> Iterator[Wire]:
    with Wire(database_url) as wire:
        yield wire


def health(url: str) -> tuple[int, float]:
    """The status, and the seconds until it was there."""
    since = time.monotonic()
    status = httpx.get(f"{url}/health", timeout=60, trust_env=False).status_code
    return status, time.monotonic() - since


def test_health_and_metrics_answer_without_a_database_and_are_well_soon_after(
    services: Services, wire: Wire, tmp_path: Path
) -> None:
    url = services.api(QGJOB_DATABASE_URL=wire.url)
    assert scraped(url)["qgjob_database_up",] == 1
    wire.cut()
    away_until = time.monotonic() + 20  # without a limit the pool would wait for 16 s and more by then
    while time.monotonic() < away_until:
        status, seconds = health(url)
        assert status == 503
        assert seconds < 4, "2 s, on a busy machine"
    assert wait_until(lambda: scraped(url)["qgjob_database_up",] == 0, 30)
    samples = scraped(url)
    assert samples["qgjob_http_requests_total", "GET", "/health", "503"] > 0
    assert not [name for name, *_ in samples if name == "qgjob_claims_total"]
    told = re.findall(r"api\.background: (.*)", (tmp_path / "api.log").read_text())
    assert told
    assert len(told) == len(set(told)), "each trouble once in a minute"
    wire.mend()
    since = time.monotonic()
    assert wait_until(lambda: health(url)[0] == 200, 60)
    assert time.monotonic() - since < 8
    assert wait_until(lambda: scraped(url)["qgjob_database_up",] == 1, 30)


@both_transports
def test_workers_outlive_a_primary_that_becomes_a_standby(
    engine: Engine, services: Services, database_url: str, transport: str
) -> None:
    """As when somebody fails over, and the old primary still takes connections."""
    url = services.api()
    worker = services.worker("lab", "--lease", "3")
    with psycopg.connect(make_conninfo(database_url, dbname="postgres"), autocommit=True) as primary:
        name = engine.value("select current_database()")
        database, others = Identifier(name), "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s"
        primary.execute(SQL("alter database {} set default_transaction_read_only = on").format(database))
        primary.execute(others, (name,))
        told = "read-only transaction" if transport == "sql" else "cannot be reached just now"
        assert wait_until(lambda: told in worker.last_lines(100), 30), worker.last_lines()
        refused = ask(f"{url}/jobs", None, {"org_id": "acme", "app_version_id": "v1", "test_path": "a.js"})
        assert refused.status == 503
        assert worker.running
        primary.execute(SQL("alter database {} reset default_transaction_read_only").format(database))
    body = {"org_id": "acme", "app_version_id": "v1", "test_path": "a.js"}
    assert wait_until(lambda: ask(f"{url}/jobs", None, body).status == 201, 30)
    assert wait_until(lambda: services.get("/stats")["completed"] == 1, 60), worker.last_lines()


def test_who_shows_a_token_hears_as_soon(engine: Engine, services: Services, wire: Wire) -> None:
    url = services.api(QGJOB_DATABASE_URL=wire.url, QGJOB_AUTH="required")
    shown = token(engine, "read", org="acme")
    wire.cut()
    since = time.monotonic()
    assert ask(f"{url}/health", shown).status == 503
    assert time.monotonic() - since < 6
    assert ask(f"{url}/metrics", shown).status == 200
