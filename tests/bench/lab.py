"""The server under test, its databases, and how big a run is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from msgspec import Struct
from psycopg.sql import SQL, Identifier

from qgjob import postgres

CHECKOUT = Path(__file__).resolve().parents[2]
SETTINGS = ("shared_buffers=512MB", "max_wal_size=4GB", "fsync=on", "synchronous_commit=on")


class Shape(Struct, frozen=True):
    """A backlog: so many groups of so many jobs, evenly over so many organisations."""

    orgs: int
    groups: int
    jobs_per_group: int

    @property
    def jobs(self) -> int:
        return self.groups * self.jobs_per_group

    def __str__(self) -> str:
        return f"{self.jobs:,} jobs / {self.groups:,} groups / {self.orgs:,} orgs"


class Scale(Struct, frozen=True, kw_only=True):
    """`drained`: the share of what a contender usually drains. `seconds`: of pgbench. `longest_s`: when a closed loop
    stops early. `slowest_s`: when a single statement is given up. `ageing_s`: the time for `finished` jobs to end.
    `waiting`: clients that wait for runs, for `idle_s` before these end."""

    rounds: int = 3
    shapes: tuple[Shape, ...] = (Shape(1, 10, 100), Shape(100, 1_000, 100), Shape(1_000, 10_000, 100))
    clients: tuple[int, ...] = (1, 4, 16)
    claims: int = 300
    claims_per_s: float = 100
    longest_s: float = 10
    slowest_s: float = 60
    run_jobs: int = 10_000
    drained: float = 1
    drain_clients: tuple[int, ...] = (1, 4, 8)
    submit_clients: tuple[int, ...] = (1, 16, 32)
    seconds: int = 5
    pick_ups: int = 300
    finished: int = 1_000_000
    ageing_s: float = 1_200
    waiting: int = 2_000
    idle_s: float = 30


QUICK = Scale(shapes=Scale().shapes[:2], clients=(1, 4), claims=100, longest_s=4, slowest_s=20, drained=0.25,
              drain_clients=(1, 4), seconds=2, pick_ups=60, finished=50_000, ageing_s=60, waiting=500,
              idle_s=10)  # fmt: skip
TINY = Scale(rounds=1, shapes=(Shape(1, 2, 10), Shape(2, 4, 10)), clients=(1, 2), claims=2, longest_s=0.2, slowest_s=2,
             run_jobs=20, drained=0.001, drain_clients=(1, 2), submit_clients=(1, 2), seconds=0, pick_ups=2,
             finished=40, ageing_s=2, waiting=5, idle_s=0.2)  # fmt: skip


class Lab:
    """`peers`: those to measure beside the engine and the floor. `prefix`: what its databases are called by."""

    def __init__(
        self, url: str, scale: Scale, peers: tuple[str, ...], *, prefix: str = "bench", talk: bool = True
    ) -> None:
        self.url = url
        self.scale = scale
        self.peers = peers
        self._prefix = prefix
        self._template = f"{prefix}_template"
        self._talk = talk

    def say(self, text: str) -> None:
        if self._talk:
            print(text, file=sys.stderr, flush=True)

    def prepare(self) -> None:
        """Make the migrated database that others are copied from."""
        self._make(self._template, "template1")
        environment = os.environ | {"QGJOB_DATABASE_URL": self.url_of(self._template)}
        command = [sys.executable, "-m", "alembic", "upgrade", "head"]
        subprocess.run(command, cwd=CHECKOUT, env=environment, check=True, timeout=120)

    def url_of(self, database: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{database}").geturl()

    @contextmanager
    def database(self, name: str, *, migrated: bool = False) -> Iterator[str]:
        """The URL of a new database, dropped at the end: with everything of qgjob in it, or empty."""
        self._make(f"{self._prefix}_{name}", self._template if migrated else "template1")
        try:
            yield self.url_of(f"{self._prefix}_{name}")
        finally:
            self._drop(f"{self._prefix}_{name}")

    def _make(self, name: str, template: str) -> None:
        self._drop(name)
        with psycopg.connect(self.url, autocommit=True) as connection:
            statement = SQL("create database {} template {} strategy file_copy")
            connection.execute(statement.format(Identifier(name), Identifier(template)))

    def _drop(self, name: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(SQL("drop database if exists {} with (force)").format(Identifier(name)))


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The URL of a durable server on disk, forgotten afterwards."""
    postgres.erase(folder)
    try:
        with postgres.running(folder, durable=True, settings=SETTINGS) as url:
            yield url
    finally:
        postgres.erase(folder)
