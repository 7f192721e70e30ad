"""alembic upgrade head: on an empty database, again, by several at once; and what services say to a wrong database."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from conftest import CHECKOUT, url_of
from engine import Engine
from invariants import assert_all

from qgjob.children import wait_until

# Run 1 has created a.js and b.js; run 2 has joined b.js and created c.js.
RUNS_OF_0019 = """
  insert into qgjob.org (org_id, created_at) values ('acme', now());
  insert into qgjob.build (org_id, app_version_id, created_at) values ('acme', 'v1', now());
  insert into qgjob.lane (org_id, target, selector, active) values ('acme', 'emulator', '{}', true);
  insert into qgjob.job_group
    (org_id, app_version_id, lane_id, target, selector, reset, build, head_priority, head_at, rank_at, created_at)
  values ('acme', 'v1', 1, 'emulator', '{}', 'clear', 'acme/v1', 1, now(), now(), now());
  insert into qgjob.run (org_id, app_version_id, labels, total, remaining, created_at)
  select 'acme', 'v1', '{}', 2, 2, now() from generate_series(1, 2);
  insert into qgjob.job
    (org_id, group_id, test_path, priority, retries, timeout_s, dedupe, predicted_s, failed_before, created_at)
  select 'acme', 1, path, 1, 0, 900, true, 30, false, now() from unnest(array['a.js', 'b.js', 'c.js']) as path;
  insert into qgjob.run_job (run_id, job_id, deduplicated)
  values (1, 1, false), (1, 2, false), (2, 2, true), (2, 3, false);
"""


@pytest.fixture
def empty_url(empty_database: psycopg.Connection[Any]) -> Iterator[str]:
    return url_of(empty_database.info.dbname)  # type: ignore[return-value]


def python(*argv: str, url: str | None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "QGJOB_DATABASE_URL"}
    if url is not None:
        environment["QGJOB_DATABASE_URL"] = url
    return subprocess.Popen(
        [sys.executable, "-m", *argv], cwd=CHECKOUT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def head() -> str:
    return max(path.name[:4] for path in (CHECKOUT / "alembic" / "versions").glob("[0-9]*.py"))


def test_several_migrators_at_once_on_an_empty_database(empty_url: str) -> None:
    migrators = [python("alembic", "upgrade", "head", url=empty_url) for _ in range(4)]
    for migrator in migrators:
        output, _ = migrator.communicate(timeout=60)
        assert migrator.returncode == 0, output
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("select count(*) from qgjob.alembic_version").fetchone() == (1,)
        assert connection.execute("select total from qgjob.submit_run('a', 'v', '[{\"test_path\": \"x\"}]')").fetchone()


def test_migrating_again_changes_nothing(database_url: str) -> None:
    fingerprint = (
        "select array_agg((oid, xmin::text) order by oid)::text from pg_proc where pronamespace = 'qgjob'::regnamespace"
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        before = connection.execute(fingerprint).fetchone()
        again = python("alembic", "upgrade", "head", url=database_url)
        again.communicate(timeout=60)
        assert again.returncode == 0
        assert connection.execute(fingerprint).fetchone() == before


def test_who_is_in_the_way_of_a_migration_goes_on_and_it_begins_again(empty_url: str) -> None:
    before = python("alembic", "upgrade", "0013", url=empty_url)
    output, _ = before.communicate(timeout=60)
    assert before.returncode == 0, output
    with psycopg.connect(empty_url) as reader, psycopg.connect(empty_url, autocommit=True) as looks:
        reader.execute("select from qgjob.attempt")
        migrator = python("alembic", "upgrade", "head", url=empty_url)
        held = "select from pg_locks where relation = 'qgjob.job'::regclass and mode = 'AccessExclusiveLock'"
        assert wait_until(lambda: looks.execute(held).fetchone() is not None, 60)
        # Each holds what the other wants; deadlock_timeout would end one of them after a second.
        reader.execute("select from qgjob.job")
        assert migrator.poll() is None
        reader.rollback()
        output, _ = migrator.communicate(timeout=60)
        assert migrator.returncode == 0, output
        assert looks.execute("select version_num from qgjob.alembic_version").fetchone() == (head(),)
        deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
        assert looks.execute(deadlocks).fetchone() == (0,)


def test_runs_of_an_older_revision_go_on(empty_url: str) -> None:
    before = python("alembic", "upgrade", "0019", url=empty_url)
    output, _ = before.communicate(timeout=60)
    assert before.returncode == 0, output
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(RUNS_OF_0019)
    migrator = python("alembic", "upgrade", "head", url=empty_url)
    output, _ = migrator.communicate(timeout=60)
    assert migrator.returncode == 0, output
    with Engine(empty_url) as engine:
        assert_all(engine)
        assert [engine.job(job_id).run_id for job_id in (1, 2, 3)] == [1, 1, 2]
        assert (engine.run(1).pending, engine.run(2).pending) == (2, 2)
        again = engine.submit("b.js", "d.js")
        assert (again.total, again.deduplicated, again.job_ids[0]) == (2, 1, 2)
        assert engine.call("cancel_run", run_id=1) == (1, 0, 1)
        assert_all(engine)
        engine.run_all(engine.drive())
        assert [(run.status, run.completed) for run in (engine.run(2), engine.run(again.run_id))] == [
            ("completed", 2)
        ] * 2
        assert engine.run(1).cancelled == 2
        assert_all(engine)


def test_a_url_of_several_hosts_is_one_for_migrations_too(empty_url: str) -> None:
    known = psycopg.conninfo.conninfo_to_dict(empty_url)
    there = f"{known['host']}:{known['port']}"
    url = f"postgresql://{known['user']}@{there},{there}/{known['dbname']}?target_session_attrs=read-write"
    process = python("alembic", "upgrade", "head", url=url)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output


@pytest.mark.parametrize("service", ["api", "worker", "alembic"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "set QGJOB_DATABASE_URL"),
        ("not a url", "QGJOB_DATABASE_URL is not a URL of the form postgresql://"),
        ("mysql://user:secret@127.0.0.1/qgjob", "QGJOB_DATABASE_URL is not a URL"),
        ("postgres//user:secret@127.0.0.1/qgjob", "QGJOB_DATABASE_URL is not a URL"),
        ("postgresql://user:my secret@127.0.0.1/qgjob", "QGJOB_DATABASE_URL is not a URL"),
        ("postgresql://user:secret@127.0.0.1:5432x/qgjob", "QGJOB_DATABASE_URL is not a URL"),
        ("postgresql://nobody@127.0.0.1:9/none", "127.0.0.1"),
        ("no such database", "does not exist"),
        ("no schema", "run: alembic upgrade head"),
        ("old schema", "run: alembic upgrade head"),
    ],
)
def test_a_wrong_database_is_one_clear_sentence(empty_url: str, service: str, url: str | None, words: str) -> None:
    if url in ("no schema", "old schema"):
        if service == "alembic":
            pytest.skip("that is what alembic is for")
        if url == "old schema":
            with psycopg.connect(empty_url) as connection:
                connection.execute("create schema qgjob")
                connection.execute("create table qgjob.alembic_version as select '0000' as version_num")
        url = empty_url
    elif url == "no such database":
        url = empty_url + "x"
    argv = {
        "api": ["api", "--port", "0"],
        "worker": ["worker", "--executor", "simulated"],
        "alembic": ["alembic", "upgrade", "head"],
    }[service]
    process = python(*argv, url=url)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == (2 if "QGJOB_DATABASE_URL" in words else 5)
    assert words in output
    assert "Traceback" not in output
    assert "secret" not in output
    assert "error: " in output
