"""An organisation is removed with all that is its own and nothing of others, and not while it has work."""

import os
import pty
import subprocess
import sys

import pytest
from callers import token
from engine import Engine, refused
from psycopg.types.json import Jsonb
from stand_in import NOW, StandIn, environment
from test_races import Session, after, held, second  # noqa: F401 - a fixture

OWN = """
  select relname from pg_class join pg_attribute on attrelid = pg_class.oid
  where relnamespace = 'qgjob'::regnamespace and relkind = 'r' and attname = 'org_id' order by relname"""
JOBS = Jsonb([{"test_path": "a.js"}])


def filled(engine: Engine, org: str) -> None:
    """With rows in every table that has an org_id."""
    engine.call("create_org", org_id=org, settings={"max_pending_jobs": 50})
    engine.submit("a.js", "b.js", org=org, build=f"of-{org}")
    engine.run_all(engine.drive(f"phone of {org}"))
    engine.call("add_artifact", org_id=org, app_version_id="v9", platform="android", sha256="0" * 64,
                url="https://example.com/app.apk")  # fmt: skip
    engine.call("add_trust", org_id=org, issuer="https://issuer", repository_owner_id="7")
    engine.call("allow_reader", role_name="qgjob_reader", org_id=org)
    token(engine, "read", org=org)
    schedule = engine.call("add_schedule", org_id=org, name="nightly", cron="0 2 * * *", jobs=JOBS, app_version_id="v1")
    run = engine.call("run_schedule", schedule_id=schedule.schedule_id)
    hook = engine.call("add_webhook", org_id=org, url=f"https://{org}.example/hook")
    engine.call("test_webhook", webhook_id=hook.webhook_id)
    engine.call("cancel_run", run_id=run.run_id)


def left(engine: Engine, org: str) -> dict[str, int]:
    """The rows of each table that are the organisation's."""
    tables = [row.relname for row in engine.rows(OWN)]
    return {table: engine.value(f"select count(*) from qgjob.{table} where org_id = %s", org) for table in tables}


def remove(engine: Engine, org: str) -> int:
    """How many steps it took."""
    steps = 1
    while not engine.call("remove_org", org_id=org).removed:
        steps += 1
        assert steps < 50
    return steps


def test_nothing_is_left_of_it_and_all_of_others(engine: Engine) -> None:
    for org in ("acme", "acme2"):
        filled(engine, org)
    assert min(left(engine, "acme").values()) > 0, left(engine, "acme")
    others = left(engine, "acme2")
    remove(engine, "acme")
    assert set(left(engine, "acme").values()) == {0}
    assert left(engine, "acme2") == others
    assert engine.rows("select name, installed_build from qgjob.device order by name") == [
        ("phone of acme", None), ("phone of acme2", "acme2/of-acme2"),
    ]  # fmt: skip
    assert engine.value("select count(*) from qgjob.webhook_delivery") == 1
    with refused("org_exists"):
        engine.call("remove_org", org_id="acme")
    engine.submit("a.js", org="acme")
    engine.run_all(engine.drive())


def test_a_large_one_is_removed_in_steps(engine: Engine) -> None:
    for number in range(3):
        run = engine.submit(*(f"{number}-{n}.js" for n in range(1500)))
        engine.call("cancel_run", run_id=run.run_id)
    assert remove(engine, "acme") > 3
    assert set(left(engine, "acme").values()) == {0}


def test_unfinished_work_is_in_the_way(engine: Engine) -> None:
    filled(engine, "acme")
    before = left(engine, "acme")
    run = engine.submit("new.js")
    batch = engine.claim(engine.drive())
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    with refused("removed_org_has_no_work"):
        engine.call("remove_org", org_id="acme")
    engine.call("cancel_run", run_id=run.run_id)
    with refused("removed_org_has_no_work"):
        engine.call("remove_org", org_id="acme")
    engine.finish(batch.lease, batch.jobs[0]["job_id"], "cancelled")
    with refused("removed_org_has_no_work"):
        engine.call("remove_org", org_id="acme")
    assert left(engine, "acme").keys() == before.keys()
    assert all(left(engine, "acme")[table] >= before[table] for table in before)
    engine.release(batch.lease)
    remove(engine, "acme")


@pytest.mark.parametrize("build", ["v1", "v2"])
def test_who_submits_meanwhile_is_not_lost(engine: Engine, second: Session, build: str) -> None:  # noqa: F811
    filled(engine, "acme")
    with held(engine):
        run = engine.submit("a.js", build=build)
        other = second.begin(lambda session: remove(session, "acme"))
        with second.engine.another() as observer:
            observer.rows("select pg_sleep(0.5)")
    with refused("removed_org_has_no_work"):
        after(other)
    assert engine.job(run.job_ids[0]).status == "pending"


@pytest.mark.parametrize("build", ["of-acme", "v2"])
def test_who_submits_while_it_goes_begins_it_anew(engine: Engine, second: Session, build: str) -> None:  # noqa: F811
    filled(engine, "acme")
    with held(engine):
        remove(engine, "acme")
        other = second.blocked(lambda session: session.submit("a.js", build=build))
    run = after(other)
    assert engine.counts(run.run_id) == (1, False)
    assert engine.run_all(engine.drive()) == run.job_ids


def test_who_is_about_to_add_to_it_is_waited_for(engine: Engine, second: Session) -> None:  # noqa: F811
    filled(engine, "acme")
    with held(engine):
        engine.call("make_orgs", org_ids=["globex", "acme"])
        other = second.blocked(lambda session: remove(session, "acme"))
        engine.submit("a.js", org="acme", build="v2")
    with refused("removed_org_has_no_work"):
        after(other)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("add_webhook", {"url": "https://acme.example/another"}),
        ("add_schedule", {"name": "hourly", "cron": "0 * * * *", "jobs": JOBS, "app_version_id": "v1"}),
        ("add_trust", {"issuer": "https://issuer", "repository_owner_id": "8"}),
        ("create_token", {"name": "another", "hash": b"0" * 32, "hint": "qgj_0000", "scopes": ["read"]}),
    ],
)
def test_what_is_added_to_it_meanwhile_goes_with_it(
    engine: Engine,
    second: Session,  # noqa: F811
    function: str,
    args: dict[str, object],
) -> None:
    filled(engine, "acme")
    with held(engine):
        engine.call(function, org_id="acme", **args)
        other = second.blocked(lambda session: remove(session, "acme"))
    after(other)
    assert set(left(engine, "acme").values()) == {0}


def test_a_token_of_one_organisation_does_not_remove_it(engine: Engine) -> None:
    filled(engine, "acme")
    engine.rows("select set_config('qgjob.org_id', 'acme', false)")
    with refused("orgs_are_removed_by_the_operator"):
        engine.call("remove_org", org_id="acme")
    with refused("org_exists"):
        engine.call("remove_org", org_id="globex")


@pytest.mark.parametrize(("typed", "code", "asked"), [("acme", 0, 2), ("acne", 2, 0)])
def test_on_a_terminal_its_name_has_to_be_typed(typed: str, code: int, asked: int) -> None:
    org = {"org_id": "acme", "weight": 1, "max_devices": None, "max_pending_jobs": None, "requests_per_minute": None,
           "keep_days": None, "group_by": [], "devices": 0, "created_at": NOW, "pending": 0}  # fmt: skip
    ours, theirs = pty.openpty()
    with StandIn() as server:
        server.on("GET", "/orgs/acme", org)
        steps = ({"org_id": "acme", "removed": removed} for removed in (False, True))
        server.on("DELETE", "/orgs/acme", *steps)
        command = [sys.executable, "-m", "qgjob", "orgs", "remove", "acme"]
        with subprocess.Popen(
            command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, env=environment(server, {})
        ) as process:
            os.write(ours, f"{typed}\n".encode())
            stdout, _ = process.communicate(timeout=30)
        assert len(server.asked("DELETE", "/orgs/acme")) == asked
    os.close(theirs)
    shown = os.read(ours, 65_536)
    os.close(ours)
    assert b"This deletes all of acme. Type its name to go on" in shown
    assert (process.returncode, stdout) == (code, b"Organisation acme removed\n" if code == 0 else b"")
