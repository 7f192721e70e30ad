"""A real PostgreSQL for the whole suite, a database of its own for every test, and services as real processes."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import adb_program
import psycopg
import pytest
from appium_home import Home
from engine import ANALYZED, Engine
from fake_device import Lab
from processes import Services
from pytest_postgresql import factories

from qgjob import postgres

CHECKOUT = Path(__file__).resolve().parents[1]
SERVER = "QGJOB_TEST_SERVER"
MAJOR = "QGJOB_TEST_POSTGRES"  # of the embedded one: 18, or 16
# A schema newer than the tests can be put on top of theirs, to prove that a rolling deploy is safe.
NEWER_SCHEMA = "QGJOB_NEWER_CHECKOUT"


def pytest_configure(config: pytest.Config) -> None:
    """One server for all processes of the suite, in memory where the machine has room there; or the one that is named.

    A named one (postgresql://user:password@host:port) is how the oldest supported PostgreSQL is tested.
    """
    if SERVER not in os.environ:
        stack = ExitStack()
        os.environ[SERVER] = stack.enter_context(postgres.temporary(int(os.environ.get(MAJOR, postgres.MAJOR))))
        config.add_cleanup(stack.close)
    # Where the builds of tests are.
    os.environ.setdefault("QGJOB_BUILD_FOLDER", tempfile.gettempdir())
    address = urlsplit(os.environ[SERVER])
    config.option.postgresql_host = address.hostname
    config.option.postgresql_port = str(address.port)
    config.option.postgresql_user = address.username
    config.option.postgresql_password = address.password or ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where every call meets fresh statistics, only tests of calls say something that they do not say without."""
    if ANALYZED:
        of_calls = [item for item in items if "engine" in item.fixturenames and "services" not in item.fixturenames]  # type: ignore[attr-defined]
        config.hook.pytest_deselected(items=set(items).difference(of_calls))
        items[:] = of_calls


def url_of(database: str) -> str:
    return urlsplit(os.environ[SERVER])._replace(path=f"/{database}").geturl()


def migrate(checkout: Path, url: str) -> None:
    environment = os.environ | {"QGJOB_DATABASE_URL": url}
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"], cwd=checkout, env=environment, check=True, timeout=60
    )


def fill_template(*, dbname: str, **_: Any) -> None:
    migrate(CHECKOUT, url_of(dbname))
    if newer := os.environ.get(NEWER_SCHEMA):
        migrate(Path(newer), url_of(dbname))


server = factories.postgresql_noproc(load=[fill_template])
database = factories.postgresql("server")
empty_server = factories.postgresql_noproc(dbname="empty", load=[])
empty_database = factories.postgresql("empty_server")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds the builds that another, or whoever works here, has fetched."""
    monkeypatch.setenv("QGJOB_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def database_url(database: psycopg.Connection[Any]) -> str:
    """A migrated database that only this test uses."""
    return url_of(database.info.dbname)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The SQL functions, called from one session."""
    with Engine(database_url) as engine:
        yield engine


@pytest.fixture
def transport(request: pytest.FixtureRequest) -> str:
    """What workers reach: `sql`, or `http` where a module's tests are parametrised with both_transports."""
    return str(getattr(request, "param", "sql"))


@pytest.fixture
def services(database_url: str, tmp_path: Path, transport: str) -> Iterator[Services]:
    """Starts API and worker processes on the test's database; they end with the test."""
    with Services(database_url, tmp_path, by_api=transport == "http") as services:
        yield services


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Fake Android devices and an adb server of their own, which adb finds by the environment."""
    with Lab(tmp_path, adb_program.installed()) as lab:
        for name, value in lab.environment.items():
            monkeypatch.setenv(name, value)
        yield lab


@pytest.fixture
def home(tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Appium with the driver for those devices."""
    home = Home(tmp_path, lab.adb)
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    return home
