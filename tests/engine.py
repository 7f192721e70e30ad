"""The SQL functions as a test sees them: one method per call, on a session of its own, each call a transaction."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import psycopg
import pytest
from psycopg import Cursor
from psycopg.pq import TransactionStatus
from psycopg.rows import namedtuple_row
from psycopg.sql import SQL, Composed, Identifier, Placeholder
from psycopg.types.json import Jsonb

# A database at work has statistics, that of a test is too young for them: with this the first hundred calls of a
# session meet fresh ones, and so other plans.
ANALYZED = "QGJOB_TEST_ANALYZED" in os.environ
OWN_TABLES = """select coalesce(string_agg(format('qgjob.%I', relname), ', '), '')
  from pg_class where relnamespace = to_regnamespace('qgjob') and relkind = 'r'"""


class Driver(NamedTuple):
    """A worker with one device."""

    worker_id: int
    device_id: int


@contextmanager
def refused(constraint: str) -> Iterator[None]:
    """What happens inside is refused, by the rule of that name."""
    with pytest.raises(psycopg.Error) as refusal:
        yield
    assert refusal.value.diag.constraint_name == constraint, refusal.value


class Engine:
    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = psycopg.connect(url, autocommit=True, row_factory=namedtuple_row)
        self.to_analyze = 100 if ANALYZED else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    @contextmanager
    def another(self) -> Iterator["Engine"]:
        """A second session on the same database."""
        with Engine(self.url) as engine:
            yield engine

    @contextmanager
    def hinted(self) -> Iterator[list[str]]:
        """The targets whose idle devices were told of work inside, known at the end."""
        targets: list[str] = []
        with self.another() as listener:
            listener.connection.execute("listen qgjob_work")
            yield targets
            listener.connection.execute("select 1")
            targets += [note.payload for note in listener.connection.notifies(timeout=0)]

    def rows(self, query: str, *args: object) -> list[Any]:
        return self._ask(query.encode(), args or None).fetchall()

    def row(self, query: str, *args: object) -> Any:
        found = self.rows(query, *args)
        assert len(found) == 1, found
        return found[0]

    def value(self, query: str, *args: object) -> Any:
        return self.row(query, *args)[0]

    def call(self, function: str, **args: Any) -> Any:
        """The function's row; None where it returns none."""
        named = SQL(", ").join(SQL("p_{} => {}").format(SQL(name), Placeholder(name)) for name in args)  # type: ignore[arg-type]
        query = SQL("select * from qgjob.{}({})").format(Identifier(function), named)
        stored = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in args.items()}
        return self._ask(query, stored).fetchone()

    def _ask(self, query: bytes | Composed, args: Sequence[object] | Mapping[str, object] | None) -> "Cursor[Any]":
        if self.to_analyze and self.connection.info.transaction_status is TransactionStatus.IDLE:
            self.to_analyze -= 1
            (own,) = self.connection.execute(OWN_TABLES).fetchone() or ("",)
            self.connection.execute(f"analyze (skip_locked) {own}".encode())  # PostgreSQL's own take much longer
        return self.connection.execute(query, args)

    def submit(self, *jobs: str | dict[str, Any], org: str = "acme", build: str = "v1", **options: Any) -> Any:
        """Submit jobs, each a test path or an object."""
        listed = [{"test_path": job} if isinstance(job, str) else job for job in jobs]
        return self.call("submit_run", org_id=org, app_version_id=build, jobs=Jsonb(listed), **options)

    def drive(self, name: str = "phone-1", target: str = "emulator", lease_s: int = 30, **labels: str) -> Driver:
        """Register a worker with one device."""
        worker = self.call("register_worker", name=f"of {name}", version="test", targets=[target], lease_s=lease_s)
        device = self.call("register_device", worker_id=worker[0], name=name, target=target, labels=labels)
        return Driver(worker[0], device[0])

    def claim(self, driver: Driver, **options: Any) -> Any:
        return self.call("claim_batch", worker_id=driver.worker_id, device_id=driver.device_id, **options)

    def start(self, lease: int, job_id: int) -> str:
        return str(self.call("start_job", lease=lease, job_id=job_id).decision)

    def finish(
        self, lease: int, job_id: int, status: str = "completed", kind: str | None = None, **options: Any
    ) -> Any:
        return self.call("finish_job", lease=lease, job_id=job_id, status=status, failure_kind=kind, **options)

    def release(self, lease: int, reason: str = "done") -> None:
        self.call("release_batch", lease=lease, reason=reason)

    def run_job(self, lease: int, job_id: int, status: str = "completed", kind: str | None = None) -> Any:
        self.start(lease, job_id)
        return self.finish(lease, job_id, status, kind)

    def run_all(self, driver: Driver) -> list[int]:
        """Claim and pass everything the device is given; the ids in the order of running."""
        done: list[int] = []
        while batch := self.run_batch(driver):
            done += [job["job_id"] for job in batch.jobs]
            self.call("release_batch", lease=batch.lease)
        return done

    def run_batch(self, driver: Driver, **options: Any) -> Any:
        """Claim a batch and pass its jobs; the device has not released it. None where there is nothing to claim."""
        batch = self.claim(driver, **options)
        if batch:
            if batch.install:
                self.call("record_install", lease=batch.lease)
            for job in batch.jobs:
                self.run_job(batch.lease, job["job_id"])
        return batch

    def job(self, job_id: int) -> Any:
        return self.call("get_job", job_id=job_id)

    def run(self, run_id: int) -> Any:
        return self.call("get_run", run_id=run_id)

    def expire(self, lease: int) -> None:
        """Let the lease run out, as if its worker had not been heard of for an hour."""
        self.rows(
            "update qgjob.batch set expires_at = qgjob.now() - interval '1 hour' where batch_id = %s returning 1", lease
        )
        self.rows("update qgjob.worker set lease_s = 1 where worker_id = "
                  "(select worker_id from qgjob.batch where batch_id = %s) returning 1", lease)  # fmt: skip
        self.mark("1 hour")
        self.rows(  # and neither is a grace after its start
            "select pg_sleep(extract(epoch from pg_postmaster_start_time() + interval '1 s' - clock_timestamp()))"
        )

    def mark(self, ago: str) -> None:
        """As if the housekeeping had first run that long ago: no grace after a crash of PostgreSQL is left."""
        self.rows(
            "insert into qgjob.crash_marker (written_at) values (qgjob.now() - %s::interval) "
            "on conflict (only_row) do update set written_at = excluded.written_at returning 1",
            ago,
        )

    def move_clock(self, seconds: float) -> None:
        """For this session only."""
        self.rows("select set_config('qgjob.now', (qgjob.now() + make_interval(secs => %s))::text, false)", seconds)

    def counts(self, run_id: int) -> tuple[int, bool]:
        """How many jobs the run waits for, and whether it has ended."""
        return tuple(self.row("select remaining, finished_at is not null from qgjob.run where run_id = %s", run_id))

    def statuses(self, job_ids: Sequence[int]) -> list[str]:
        return [self.job(job_id).status for job_id in job_ids]
