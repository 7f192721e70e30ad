"""Every function that others call, with wrong values of each type: it refuses in our words, or no harm is done."""

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from random import Random
from string import ascii_letters
from typing import Any

import psycopg
import pytest
from callers import token
from engine import Engine
from processes import CHECKOUT
from psycopg.types.json import Jsonb

PUBLIC = sorted(path.stem for folder in ("api", "worker") for path in (CHECKOUT / "sql" / folder).glob("*.sql"))

HUGE = "".join(Random(7).choices(ascii_letters, k=100_000))  # too large for an index, also when it is compressed
TEXTS = ["", " ", HUGE, "ü🦄", "a\nb\x01\x7f", "';--", "%s\\", "-1", "NaN", "*", "**/" * 170, "*a?[" * 128]
WRONG: dict[str, list[Any]] = {
    "text": [None, *TEXTS],
    "text[]": [None, [], [None], [""], [HUGE], ["a", "a"], [["a"], ["b"]], ["ü", "%"], ["x"] * 1000],
    "bigint": [None, 0, -1, 2**63 - 1, -(2**63)],
    "bigint[]": [None, [], [None], [-1, 0], [2**63 - 1], [[1], [2]]],
    "integer": [None, 0, -1, 2**31 - 1, -(2**31)],
    "double precision": [None, "NaN", "Infinity", "-Infinity", -1, 0, 1e308, -1e308, 5e-324],
    "boolean": [None],
    "timestamp with time zone": [None, "infinity", "-infinity", "4713-01-01 BC", "294276-12-31"],
    "bytea": [None, b"", b"x" * 100_000],
}
# Also in the place of every part of a jsonb that is right. As text, for Python's numbers end sooner.
JSONS = [
    "null", "7", "-1", "0.5", "1e300", "-1e300", "1" + "0" * 1000, "99999999999999999999", "true", '""', '"x"', '"NaN"',
    '"Infinity"', f'"{HUGE}"', "[]", "[null]", "[[]]", "[7]", '[["a"], ["b"]]', "{}", '{"": null}', '{"a": 7}',
    '{"a": {"b": [null]}}',
]  # fmt: skip

# What was accepted can be read.
READ = """
  select qgjob.list_attempts(job_id), qgjob.list_files(job_id), qgjob.get_why(job_id) from qgjob.job;
  select qgjob.list_failures(run_id), qgjob.list_unserved(run_id), qgjob.get_run(run_id) from qgjob.run;
  select qgjob.get_stats(), qgjob.get_health(), qgjob.list_schedules(), qgjob.list_orgs(), qgjob.list_webhooks();
  select * from reporting.batches, reporting.devices, reporting.job_groups;
  select 1 / (case when exists (
    select from qgjob.worker where array_ndims(targets) > 1 or array_ndims(org_ids) > 1 union all
    select from qgjob.webhook where array_ndims(events) > 1 union all
    select from qgjob.api_token where array_ndims(scopes) > 1 union all
    select from qgjob.org where array_ndims(group_by) > 1) then 0 else 1 end) as lists_of_lists"""


class Answers:
    """What is right for each argument, by its name; or by function and name."""

    def __init__(self, engine: Engine) -> None:
        run = engine.submit("a.js", "b.js", idempotency_key="used")
        driver = engine.drive(platform="android")
        batch = engine.claim(driver, max_jobs=1)
        engine.start(batch.lease, batch.jobs[0]["job_id"])
        hook = engine.call("add_webhook", org_id="acme", url="https://acme.example/hook")
        delivery = engine.call("test_webhook", webhook_id=hook.webhook_id).delivery_id
        token(engine, "read", org="acme")
        engine.call("allow_reader", role_name="qgjob_reader", org_id="acme")
        schedule = engine.call("add_schedule", org_id="acme", name="nightly", cron="0 2 * * *",
                               jobs=Jsonb([{"test_path": "a.js"}]))  # fmt: skip
        trust = engine.call("add_trust", org_id="acme", issuer="https://issuer", repository_owner_id="7")
        job = {"test_path": "c.js", "target": "emulator", "selector": {"platform": "android"}, "reset": "clear",
               "priority": "high", "retries": 1, "timeout_s": 60, "dedupe": True}  # fmt: skip
        result = {"job_id": batch.jobs[0]["job_id"], "status": "failed", "failure_kind": "test", "message": "no",
                  "tests": [{"title": "t", "status": "failed", "line": 7, "duration_s": 1.5}], "log": "l",
                  "reset_s": 0.5,
                  "files": [{"name": "f", "content_type": "text/plain", "size": 7, "key": "k"}], "upload_s": 0.5,
                  "video_offset_s": 0.5, "permanent": False}  # fmt: skip
        now = engine.value("select extract(epoch from now())::integer")
        self.by_name: dict[str, Any] = {
            "p_org_id": "acme", "p_app_version_id": "v1", "p_platform": "android", "p_url": "https://acme.example/x",
            "p_sha256": "0" * 64, "p_size": 7, "p_app_id": "com.example.app", "p_name": "other", "p_cron": "0 2 * * *",
            "p_time_zone": "UTC", "p_at": None, "p_jobs": [job], "p_job": job, "p_defaults": job, "p_enabled": True,
            "p_labels": {"branch": "main"}, "p_events": ["run.finished"], "p_format": "json", "p_description": "d",
            "p_secret": None, "p_idempotency_key": "k", "p_traceparent": "00-" + "1" * 32 + "-" + "1" * 16 + "-01",
            "p_client_timeout_s": 60, "p_issuer": "https://issuer", "p_repository_owner_id": "7",
            "p_repository_id": "7", "p_ref": "refs/heads/main", "p_environment": "e", "p_event_name": "push",
            "p_role_name": "qgjob_reader", "p_job_id": batch.jobs[0]["job_id"], "p_run_id": run.run_id,
            "p_schedule_id": schedule.schedule_id, "p_job_ids": run.job_ids, "p_run_ids": [run.run_id],
            "p_after_seqs": [0, 0], "p_limit": 10, "p_slow": 5, "p_formats": ["json"], "p_share": 5, "p_orgs": [],
            "p_settings": {"weight": 2, "max_devices": 7, "max_pending_jobs": 7, "requests_per_minute": 7,
                           "keep_days": 7, "group_by": ["repo"]},
            "p_hash": b"x" * 32, "p_hint": "qg_x", "p_scopes": ["read"], "p_expires_in_s": 60, "p_created_by": None,
            "p_worker_id": driver.worker_id, "p_claims": {
                "exp": now + 60, "iat": now, "nbf": now, "jti": "j", "repository_owner_id": "7", "repository": "r",
                "run_id": "7", "event_name": "push", "ref": "refs/heads/main"},
            "p_delivery_id": delivery, "p_try_number": 1, "p_status_code": 500, "p_error": "e", "p_retry_after_s": 1.5,
            "p_attempt": 1, "p_number": 1, "p_details": True, "p_before": None, "p_webhook_id": hook.webhook_id,
            "p_status": None, "p_cursor": None, "p_target": "emulator", "p_device_id": driver.device_id,
            "p_since": None,
            "p_trust_id": trust.trust_id, "p_token_id": 1, "p_reason": "done", "p_only": "all", "p_overlap_h": 1,
            "p_submissions": [{"org_id": "acme", "app_version_id": "v1", "job": job, "labels": {"a": "b"},
                               "idempotency_key": "k", "traceparent": None}],
            "p_after": 0, "p_lease": batch.lease, "p_account": "a", "p_allowed": 5, "p_running": 0, "p_known": [],
            "p_max_jobs": 5, "p_max_s": 60.0, "p_provider": "p", "p_failure_kind": "test", "p_message": "m",
            "p_tests": result["tests"], "p_log": "l", "p_files": result["files"], "p_reset_s": 0.5, "p_upload_s": 0.5,
            "p_video_offset_s": 0.5, "p_permanent": False, "p_results": [result], "p_due_at": None,
            "p_next_at": "2100-01-01", "p_session_id": "s", "p_video_url": "https://acme.example/v", "p_version": "1",
            "p_targets": ["emulator"], "p_lease_s": 30, "p_org_ids": ["acme"], "p_complaint": "c",
            "p_all": True, "p_test": "a*.js",
            "p_changes": {"name": "nightly", "cron": None, "time_zone": "UTC", "at": "2100-01-01T00:00:00Z",
                          "app_version_id": "v1", "jobs": [job], "defaults": job, "labels": {"a": "b"},
                          "enabled": True},
        }  # fmt: skip
        self.by_function: dict[str, dict[str, Any]] = {
            "change_org": {"p_changes": self.by_name["p_settings"]},
            "create_org": {"p_org_id": "globex"},
            "finish_job": {"p_status": "failed"},
            "release_device": {"p_message": "m"},
            "redrive_deliveries": {"p_delivery_id": None},
        }

    def right(self, function: str, name: str) -> Any:
        return deepcopy(self.by_function.get(function, {}).get(name, self.by_name[name]))


def arguments(engine: Engine, function: str) -> dict[str, str]:
    """The types of the function's parameters."""
    return dict(engine.rows(
        "select name, format_type(type, null) from pg_proc, unnest(proargnames, proargtypes::oid[]) as of (name, type) "
        "where pronamespace = 'qgjob'::regnamespace and proname = %s and type is not null", function))  # fmt: skip


def parts(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of a jsonb and of everything in it."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from parts(inner, (*path, str(key)))


def wrong(kind: str, right: Any) -> Iterator[tuple[str, str, list[Any]]]:
    """Wrong values: in which part of the argument, the expression, its parameters."""
    if kind != "jsonb":
        yield from (("", f"%s::{kind}", [value]) for value in WRONG[kind])
        return
    yield "", "%s::jsonb", [None]
    yield from (("", "%s::jsonb", [text]) for text in JSONS)
    for path in list(parts(right))[1:]:
        yield from ((".".join(path), "%s::jsonb", [changed(right, path, text)]) for text in JSONS)


def changed(right: Any, path: tuple[str, ...], text: str) -> str:
    """The jsonb with this text in the place of that part."""
    whole = inner = deepcopy(right)
    for key in path[:-1]:
        inner = inner[int(key) if isinstance(inner, list) else key]
    inner[int(path[-1]) if isinstance(inner, list) else path[-1]] = "here"
    return json.dumps(whole).replace('"here"', text)


@pytest.mark.parametrize("function", PUBLIC)
def test_a_wrong_value_is_refused_in_our_words(engine: Engine, function: str) -> None:
    answers = Answers(engine)
    known = arguments(engine, function)
    writes = engine.value("select bool_or(provolatile = 'v') from pg_proc where proname = %s", function)
    engine.connection.execute("set statement_timeout = '10s'")

    def ask(wrong_one: str = "", expression: str = "", values: Sequence[Any] = ()) -> psycopg.Error | None:
        given: list[Any] = []
        for name, kind in known.items():
            right = answers.right(function, name)
            given += values if name == wrong_one else [Jsonb(right) if kind == "jsonb" else right]
        named = ", ".join(
            f"{name} => {expression if name == wrong_one else f'%s::{kind}'}" for name, kind in known.items()
        )
        try:
            with engine.connection.transaction(force_rollback=True):
                engine.connection.execute(f"select * from qgjob.{function}({named})".encode(), given)
                if wrong_one and writes:
                    engine.connection.execute(READ)
        except psycopg.Error as error:
            return error
        return None

    refusal = ask()
    assert refusal is None or refusal.sqlstate in ("QJ401", "QJ404", "QJ409"), refusal
    foreign: dict[tuple[str, str | None], str] = {}
    for name, kind in known.items():
        for place, expression, values in wrong(kind, answers.right(function, name)):
            error = ask(name, expression, values)
            if error is None:
                continue
            ours = (error.sqlstate or "").startswith("QJ")
            if not ours or (error.sqlstate == "QJ422" and not error.diag.column_name):
                told = str(error).splitlines()[0][:150]
                foreign[f"{name} {place}", error.sqlstate] = f"{str(values[-1])[:40]}: {told}"
    assert not foreign, "\n".join(f"{where} {sqlstate} {what}" for (where, sqlstate), what in foreign.items())
