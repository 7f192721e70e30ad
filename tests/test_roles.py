"""What each role of the database may see and do, tried by logins that have it and nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from callers import ask, token
from engine import Engine, refused
from processes import CHECKOUT, Services
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

TENANT = """
  select relname from pg_class
  where relnamespace = 'qgjob'::regnamespace and relkind = 'r' and (
    relname in ('run_job', 'live_log', 'worker', 'device', 'webhook_delivery') or exists (
      select from pg_attribute where attrelid = pg_class.oid and attname = 'org_id' and not attisdropped))
  order by 1"""
# Of no organisation. A new table without an org_id needs a place here, or policies in sql/rights.sql.
OF_NOBODY = {
    "alembic_version",
    "client_watch",
    "crash_marker",
    "exchanged",
    "pending_sample",
    "upload",
    "waiting_device",
}
# Of these some columns are nobody's business.
SHOWN = {
    "api_token": "jsonb_build_array(token_id, org_id, name)",
    "webhook": "jsonb_build_array(webhook_id, org_id, url)",
}
SHARED = {"worker", "device"}  # those that serve everybody
SECRET = {"api_token", "exchanged", "reader"}
DENIED = psycopg.errors.InsufficientPrivilege


@contextmanager
def login(engine: Engine, role: str | None, name: str) -> Iterator[str]:
    """The URL of a login that is a member of this role and nothing else."""
    database = engine.connection.info.dbname
    name = f"{name}_{database}"
    engine.connection.execute(SQL("create role {} login password 'secret'").format(Identifier(name)))
    try:
        if role:
            engine.connection.execute(SQL("grant {} to {}").format(Identifier(role), Identifier(name)))
        address = urlsplit(engine.url)
        yield address._replace(netloc=f"{name}:secret@{address.hostname}:{address.port}").geturl()
    finally:
        engine.connection.execute(SQL("drop owned by {}").format(Identifier(name)))
        engine.connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [name])
        engine.connection.execute(SQL("drop role {}").format(Identifier(name)))


@pytest.fixture
def tenants(engine: Engine) -> Engine:
    """Rows of two organisations in every table that has one."""
    for org in ("acme", "rival"):
        run = engine.submit("a.js", "b.js", org=org, build=f"of-{org}")
        driver = engine.call("register_worker", name=f"of {org}", version="", targets=["emulator"], org_ids=[org])[0]
        device = engine.call("register_device", worker_id=driver, name=f"phone of {org}", target="emulator")[0]
        batch = engine.call("claim_batch", worker_id=driver, device_id=device)
        engine.call("record_install", lease=batch.lease)
        engine.run_job(batch.lease, run.job_ids[0])
        engine.call("watch_log", job_id=run.job_ids[1])
        engine.connection.execute("insert into qgjob.live_log (job_id, watched_until) select job_id, qgjob.now() "
                                  "from qgjob.job on conflict do nothing")  # fmt: skip
        engine.call("add_artifact", org_id=org, app_version_id=f"of-{org}", platform="android", sha256="0" * 64,
                    url="https://example.com/app.apk")  # fmt: skip
        engine.call("add_trust", org_id=org, issuer="https://issuer", repository_owner_id="7")
        token(engine, "read", org=org)
        engine.call("add_schedule", org_id=org, name="nightly", cron="0 2 * * *", jobs=Jsonb([{"test_path": "a.js"}]))
        hook = engine.call("add_webhook", org_id=org, url=f"https://{org}.example/hook")
        engine.call("test_webhook", webhook_id=hook.webhook_id)
        engine.call("change_org", org_id=org, changes={"max_pending_jobs": 50})
        engine.submit("counted.js", org=org)
    return engine


def counts(engine: Engine, table: str) -> tuple[int, bool]:
    """How many rows there are, and whether any is of the rival."""
    rows = engine.rows(f"select {SHOWN.get(table, 'to_jsonb(stored)')} from qgjob.{table} as stored")
    return len(rows), any("rival" in str(row) for row in rows)


def test_every_table_of_an_organisation_has_forced_row_level_security(tenants: Engine) -> None:
    tables = {row[0] for row in tenants.rows(TENANT)}
    secured = {row[0] for row in tenants.rows(
        "select relname from pg_class where relnamespace = 'qgjob'::regnamespace and relkind = 'r' "
        "and relrowsecurity and relforcerowsecurity")}  # fmt: skip
    assert secured == tables
    everything = {row[0] for row in tenants.rows(
        "select relname from pg_class where relnamespace = 'qgjob'::regnamespace and relkind = 'r'")}  # fmt: skip
    assert everything - tables == OF_NOBODY


def test_the_role_of_the_api_sees_the_organisation_it_names_and_changes_no_table(tenants: Engine) -> None:
    tables = [row[0] for row in tenants.rows(TENANT) if row[0] not in SECRET - {"api_token"}]
    with login(tenants, "qgjob_api", "api") as url, Engine(url) as api:
        for org in ("", "acme", "nobody", "*"):
            api.rows("select set_config('qgjob.org_id', %s, false)", org)
            for table in tables:
                everybodys, has_rival = counts(tenants, table)
                found, of_rival = counts(api, table)
                assert of_rival == (org == "*" and has_rival), (org, table)
                if org == "*":
                    assert found == everybodys, table
                elif org == "acme" and everybodys:
                    assert 0 < found < everybodys, (org, table, found)
                elif org == "" or table not in SHARED:
                    assert found == 0, (org, table, found)
        for table in tables:
            for change in ("delete from qgjob.{}", "insert into qgjob.{} default values", "truncate qgjob.{}"):
                with pytest.raises(DENIED):
                    api.connection.execute(SQL(change).format(Identifier(table)))  # type: ignore[arg-type]
        for column in ("hash", "*"):
            with pytest.raises(DENIED):
                api.rows(f"select {column} from qgjob.api_token")
        for column in ("secret", "old_secret", "*"):
            with pytest.raises(DENIED):
                api.rows(f"select {column} from qgjob.webhook")
        for table in ("exchanged", "reader"):
            with pytest.raises(DENIED):
                api.rows(f"select * from qgjob.{table}")


def test_functions_that_write_look_at_the_organisation_too(tenants: Engine) -> None:
    """They are the owner's, for whom there are no policies: each of them asks by itself."""
    job, run = tenants.row("select max(job_id) as job, max(run_id) as run from qgjob.job")
    assert tenants.job(job).org_id == "rival"
    with login(tenants, "qgjob_api", "api") as url, Engine(url) as api:
        api.rows("select set_config('qgjob.org_id', 'acme', false)")
        for function, rule, args in (
            ("cancel_job", "job_exists", {"job_id": job}),
            ("cancel_run", "run_exists", {"run_id": run}),
            ("retry_job", "job_exists", {"job_id": job}),
            ("retry_run", "run_exists", {"run_id": run}),
            ("watch_log", "job_exists", {"job_id": job}),
            ("get_why", "job_exists", {"job_id": job}),
            ("submit_job", "org_exists", {"org_id": "rival", "app_version_id": "v1", "job": {"test_path": "a.js"}}),
            ("drain_worker", "worker_exists", {"worker_id": 2}),
            ("quarantine_device", "device_exists", {"device_id": 2, "reason": "x"}),
            ("revoke_token", "token_exists", {"token_id": 2}),
            ("remove_trust", "trust_exists", {"trust_id": 2}),
            ("detach_run", "run_exists", {"run_id": run}),
            ("list_failures", "run_exists", {"run_id": run}),
            ("list_waiting", "run_exists", {"run_id": run}),
            ("list_unserved", "run_exists", {"run_id": run}),
            ("create_org", "org_exists", {"org_id": "rival"}),
            ("change_org", "org_exists", {"org_id": "rival", "changes": {}}),
            (
                "add_schedule",
                "org_exists",
                {"org_id": "rival", "name": "n", "cron": "0 2 * * *", "jobs": Jsonb([{"test_path": "a.js"}])},
            ),
            ("change_schedule", "schedule_exists", {"schedule_id": 2, "changes": {}}),
            ("remove_schedule", "schedule_exists", {"schedule_id": 2}),
            ("run_schedule", "schedule_exists", {"schedule_id": 2}),
            ("get_schedule", "schedule_exists", {"schedule_id": 2}),
            ("add_webhook", "org_exists", {"org_id": "rival", "url": "https://example.com"}),
            ("update_webhook", "webhook_exists", {"webhook_id": 2}),
            ("remove_webhook", "webhook_exists", {"webhook_id": 2}),
            ("rotate_webhook_secret", "webhook_exists", {"webhook_id": 2}),
            ("test_webhook", "webhook_exists", {"webhook_id": 2}),
            ("redrive_deliveries", "webhook_exists", {"webhook_id": 2}),
            ("list_deliveries", "webhook_exists", {"webhook_id": 2}),
        ):
            with refused(rule):
                api.call(function, **args)
        assert api.call("watch_runs", run_ids=[run]) is None
        api.call("hold_run", run_id=run, client_timeout_s=10)
        assert tenants.value("select client_until from qgjob.run where run_id = %s", run) is None
        assert tenants.value("select watched_until from qgjob.run where run_id = %s", run) is None
        assert tenants.job(job).status == "pending"
        own = tenants.value("select min(run_id) from qgjob.run")
        assert api.call("cancel_run", run_id=own).cancelled == 1


def test_the_role_of_workers_calls_the_functions_of_workers_and_nothing_else(tenants: Engine) -> None:
    tenants.submit("w.js", org="third", build="v1")
    with login(tenants, "qgjob_worker", "worker") as url, Engine(url) as worker:
        driver = worker.drive("fresh")
        assert worker.run_all(driver)
        worker.call("heartbeat", worker_id=driver.worker_id)
        worker.call("housekeep")
        for query in ("select * from qgjob.job", "select * from qgjob.api_token", "select * from reporting.jobs",
                      "select qgjob.cancel_run(1)", "select qgjob.get_job(1)", "delete from qgjob.job",
                      "select qgjob.resolve_token('')", "select qgjob.end_batches('{}', 'done')"):  # fmt: skip
            with pytest.raises(DENIED):
                worker.rows(query)
    allowed = {row[0] for row in tenants.rows(
        "select proname from pg_proc where pronamespace = 'qgjob'::regnamespace "
        "and has_function_privilege('qgjob_worker', oid, 'execute')")}  # fmt: skip
    assert allowed == {path.stem for path in (CHECKOUT / "sql" / "worker").glob("*.sql")}


def test_a_reader_sees_the_views_for_the_organisations_it_was_allowed(tenants: Engine) -> None:
    views = [row[0] for row in tenants.rows("select viewname from pg_views where schemaname = 'reporting' order by 1")]

    def seen(reader: Engine) -> set[str]:
        text = "".join(str(reader.rows(f"select * from reporting.{view}")) for view in views)
        return {org for org in ("acme", "rival") if org in text}

    with login(tenants, "qgjob_reader", "lead") as url, Engine(url) as lead:
        name = lead.connection.info.user
        assert seen(lead) == set()
        tenants.call("allow_reader", role_name=name, org_id="acme")
        assert seen(lead) == {"acme"}
        lead.rows("select set_config('qgjob.org_id', 'rival', false)")
        assert seen(lead) == {"acme"}, "that is for the API"
        assert [row.org_id for row in lead.rows("select distinct org_id from qgjob.job")] == ["acme"]
        tenants.call("allow_reader", role_name=name, org_id="*")
        assert seen(lead) == {"acme", "rival"}
        tenants.call("deny_reader", role_name=name)
        assert seen(lead) == set()
        for query in ("delete from qgjob.job", "update qgjob.job set message = ''", "select qgjob.cancel_run(1)",
                      "select * from qgjob.api_token", "select qgjob.allow_reader('x', '*')",
                      "insert into qgjob.reader values (current_user, '*')"):  # fmt: skip
            with pytest.raises(DENIED):
                lead.rows(query)
    with refused("role_exists"):
        tenants.call("allow_reader", role_name="nobody at all", org_id="acme")


def test_functions_of_the_owner_have_a_fixed_search_path(engine: Engine) -> None:
    loose = engine.rows(
        "select proname from pg_proc where pronamespace in ('qgjob'::regnamespace) and prosecdef "
        "and not coalesce(proconfig @> array['search_path=pg_catalog, pg_temp'], false)")  # fmt: skip
    assert not loose
    of_workers = {path.stem for path in (CHECKOUT / "sql" / "worker").glob("*.sql")}
    definers = {row[0] for row in engine.rows(
        "select proname from pg_proc where pronamespace = 'qgjob'::regnamespace and prosecdef")}  # fmt: skip
    assert of_workers <= definers
    assert not engine.rows(
        "select proname from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) as entry "
        "where pronamespace = 'qgjob'::regnamespace and grantee = 0"), "everybody may call it"  # fmt: skip


def test_services_work_as_these_roles(tenants: Engine, services: Services) -> None:
    """The API as a member of qgjob_api, the worker of qgjob_worker, without any other right."""
    api, worker = login(tenants, "qgjob_api", "api"), login(tenants, "qgjob_worker", "worker")
    with api as api_url, worker as worker_url, services:  # which end before their logins do
        services.database_url = api_url
        url = services.api(QGJOB_AUTH="required")
        services.database_url = worker_url
        services.worker("worker", "--devices", "1")
        submit = token(tenants, "submit", org="fresh")
        run = ask(f"{url}/runs", submit, {"org_id": "fresh", "app_version_id": "v1",
                                          "jobs": [{"test_path": "a.js"}, {"test_path": "fail.js"}]}).body  # fmt: skip
        after = -1
        while (told := ask(f"{url}/runs/{run['run_id']}?wait=30&after_seq={after}", submit).body)[
            "finished_at"
        ] is None:
            after = told["seq"]
        assert (told["completed"], told["failed"]) == (1, 1)
        assert ask(f"{url}/jobs/{run['job_ids'][0]}/why", submit).status == 200
        shell = services.qgjob("stats", "--json", QGJOB_SERVER_URL=url, QGJOB_TOKEN=submit)
        assert shell.returncode == 0, shell.stderr


def test_the_api_does_not_start_where_it_cannot_become_its_role(engine: Engine) -> None:
    with login(engine, None, "stranger") as url:
        engine.connection.execute(SQL("grant select on qgjob.alembic_version to {}").format(
            Identifier(str(urlsplit(url).username))))  # fmt: skip
        engine.connection.execute(SQL("grant usage on schema qgjob to {}").format(
            Identifier(str(urlsplit(url).username))))  # fmt: skip
        started = subprocess.run(
            [sys.executable, "-m", "api", "--port", "0"], cwd=CHECKOUT, capture_output=True, text=True, timeout=60,
            env=os.environ | {"QGJOB_DATABASE_URL": url, "QGJOB_AUTH": "required"}, check=False,
        )  # fmt: skip
    assert started.returncode == 5
    assert "no member of qgjob_api" in started.stderr


def test_nor_where_it_may_not_call_its_functions(engine: Engine) -> None:
    """Also where it asks nobody for a token."""
    with login(engine, "qgjob_worker", "helper") as url:
        started = subprocess.run(
            [sys.executable, "-m", "api", "--port", "0"], cwd=CHECKOUT, capture_output=True, text=True, timeout=60,
            env=os.environ | {"QGJOB_DATABASE_URL": url}, check=False,
        )  # fmt: skip
    assert started.returncode == 5
    assert "grant qgjob_api to that login" in started.stderr


def test_an_owner_that_is_no_superuser_migrates_and_works(
    empty_database: psycopg.Connection[Any], engine: Engine
) -> None:
    """Row-level security is forced: the owner's own functions must see everything all the same."""
    with login(engine, None, "owner") as url:
        name = str(urlsplit(url).username)
        engine.connection.execute(SQL("alter role {} createrole").format(Identifier(name)))
        database = empty_database.info.dbname
        empty_database.rollback()
        engine.connection.execute(SQL("alter database {} owner to {}").format(Identifier(database), Identifier(name)))
        owned = urlsplit(url)._replace(path=f"/{database}").geturl()
        try:
            migrated = subprocess.run(
                [sys.executable, "-m", "alembic", "upgrade", "head"], cwd=CHECKOUT, capture_output=True, text=True,
                env=os.environ | {"QGJOB_DATABASE_URL": owned}, check=False, timeout=120,
            )  # fmt: skip
            assert migrated.returncode == 0, migrated.stderr
            assert "warning: this role is no member of qgjob_api" in migrated.stderr
            with Engine(owned) as own:
                own.submit("a.js", org="acme")
                own.submit("b.js", org="rival")
                assert len(own.run_all(own.drive())) == 2
        finally:
            engine.connection.execute(
                SQL("alter database {} owner to {}").format(Identifier(database), SQL("current_user"))
            )
            with psycopg.connect(urlsplit(engine.url)._replace(path=f"/{database}").geturl(), autocommit=True) as admin:
                admin.execute(SQL("drop owned by {} cascade").format(Identifier(name)))
