"""While PostgreSQL is away the API says so at once, and it is back with PostgreSQL."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from callers import ask, token
from engine import Engine
from faulty_network import Wire
from processes import Services
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


def test_who_shows_a_token_hears_as_soon(engine: Engine, services: Services, wire: Wire) -> None:
    url = services.api(QGJOB_DATABASE_URL=wire.url, QGJOB_AUTH="required")
    shown = token(engine, "read", org="acme")
    wire.cut()
    since = time.monotonic()
    assert ask(f"{url}/health", shown).status == 503
    assert time.monotonic() - since < 6
    assert ask(f"{url}/metrics", shown).status == 200
