"""Submissions that come as messages, and events that leave with the change that they tell of."""

from typing import Any

import psycopg
import pytest
from engine import Engine
from psycopg.types.json import Jsonb

GOOD = {"org_id": "acme", "app_version_id": "v1", "jobs": [{"test_path": "a.js"}]}


def send(engine: Engine, message: object) -> None:
    engine.rows("select pgmq.send('submissions', %s)", Jsonb(message))


def take(engine: Engine) -> None:
    """Until nothing is left that can be read now."""
    while engine.call("housekeep").submitted:
        pass


def dead_letters(engine: Engine) -> list[dict[str, Any]]:
    return [message for (message,) in engine.rows("select message from pgmq.q_dead_letters order by msg_id")]


def waiting(engine: Engine) -> int:
    return int(engine.value("select count(*) from pgmq.q_submissions"))


def test_messages_are_submitted_as_runs(engine: Engine) -> None:
    send(engine, GOOD)
    send(engine, GOOD | {"app_version_id": "v2", "defaults": {"priority": "high"}, "labels": {"branch": "main"}})
    take(engine)
    runs = engine.rows("select app_version_id, total, labels from qgjob.run order by run_id")
    assert runs == [("v1", 1, {}), ("v2", 1, {"branch": "main"})]
    assert engine.rows("select priority from qgjob.job order by job_id") == [(1,), (2,)]
    assert (waiting(engine), dead_letters(engine)) == (0, [])


def test_a_message_that_comes_twice_with_one_key_is_one_run(engine: Engine) -> None:
    for _ in range(2):
        send(engine, GOOD | {"idempotency_key": "k"})
    take(engine)
    assert engine.value("select count(*) from qgjob.run") == 1
    assert (waiting(engine), dead_letters(engine)) == (0, [])


def test_a_key_that_was_used_for_another_submission_is_a_dead_letter(engine: Engine) -> None:
    send(engine, GOOD | {"idempotency_key": "k"})
    send(engine, GOOD | {"idempotency_key": "k", "app_version_id": "v2"})
    take(engine)
    (letter,) = dead_letters(engine)
    assert letter["sqlstate"] == "QJ409"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, "is an object"),
        ("run it", "is an object"),
        ([GOOD], "is an object"),
        ({}, "1 to 10000 jobs"),
        (GOOD | {"org_id": None}, "org_id"),
        (GOOD | {"org_id": 7}, "org_id is a string"),
        (GOOD | {"org_id": True}, "org_id is a string"),
        (GOOD | {"org_id": {"a": 1}}, "org_id is a string"),
        (GOOD | {"app_version_id": 1.2}, "app_version_id is a string"),
        (GOOD | {"app_version_id": "../v1"}, "app_version_id"),
        (GOOD | {"idempotency_key": 7}, "idempotency_key is a string"),
        (GOOD | {"idempotency_key": ""}, "idempotency key"),
        (GOOD | {"color": "red"}, 'no field "color"'),
        (GOOD | {"jobs": "a.js"}, "1 to 10000 jobs"),
        (GOOD | {"jobs": None}, "1 to 10000 jobs"),
        (GOOD | {"jobs": {"test_path": "a.js"}}, "1 to 10000 jobs"),
        (GOOD | {"jobs": []}, "1 to 10000 jobs"),
        (GOOD | {"jobs": ["a.js"]}, "a job is an object"),
        (GOOD | {"jobs": [None]}, "a job is an object"),
        (GOOD | {"jobs": [[]]}, "a job is an object"),
        (GOOD | {"jobs": [{"test_path": ["a.js"]}]}, "test_path"),
        (GOOD | {"jobs": [{"test_path": "a.js"}, {"test_path": "/b.js"}]}, "jobs[1]: test_path"),
        (GOOD | {"jobs": [{"test_path": "a.js", "retries": 99999999999}]}, "retries"),
        (GOOD | {"jobs": [{"test_path": "a.js", "timeout_s": {}}]}, "timeout_s"),
        (GOOD | {"jobs": [{"test_path": "a.js", "selector": "ios"}]}, "selector"),
        (GOOD | {"jobs": [{"test_path": "a.js", "selector": {"os": ["18"]}}]}, "selector"),
        (GOOD | {"jobs": [{"test_path": "a.js", "dedupe": 1}]}, "dedupe"),
        (GOOD | {"defaults": [1]}, "defaults"),
        (GOOD | {"defaults": None}, "defaults"),
        (GOOD | {"defaults": {"color": "red"}}, 'no field "color"'),
        (GOOD | {"labels": "main"}, "labels"),
        (GOOD | {"labels": {"branch": 1}}, "labels"),
        (GOOD | {"labels": None}, "labels"),
    ],
)
def test_what_can_never_be_accepted_is_a_dead_letter_with_the_reason(
    engine: Engine, message: object, reason: str
) -> None:
    send(engine, message)
    send(engine, GOOD)
    take(engine)
    (letter,) = dead_letters(engine)
    assert reason in letter["reason"]
    assert (letter["queue"], letter["sqlstate"], letter["message"]) == ("submissions", "QJ422", message)
    assert waiting(engine) == 0
    assert engine.value("select count(*) from qgjob.run") == 1, "the good one behind it"


def test_a_message_without_content_is_a_dead_letter(engine: Engine) -> None:
    engine.rows("select pgmq.send('submissions', null::jsonb)")
    take(engine)
    (letter,) = dead_letters(engine)
    assert "is an object" in letter["reason"]


def test_what_may_pass_is_tried_again_before_it_is_given_up(engine: Engine) -> None:
    engine.submit("a.js")
    send(engine, GOOD)
    engine.connection.execute("set lock_timeout = '20ms'")
    with engine.another() as other, other.connection.transaction():
        other.rows("select from qgjob.job for update")
        for attempt in range(1, 6):
            assert (waiting(engine), dead_letters(engine)) == (1, []), f"before attempt {attempt}"
            take(engine)
            engine.rows("select pgmq.set_vt('submissions', msg_id, 0) from pgmq.q_submissions")
    (letter,) = dead_letters(engine)
    assert letter["sqlstate"] == "55P03"
    assert waiting(engine) == 0


def test_what_a_full_quota_refuses_is_tried_again_later_and_later(engine: Engine) -> None:
    """Or somebody who has sent many would keep those of the others from being read."""
    engine.submit("a.js")
    engine.call("change_org", org_id="acme", changes={"max_pending_jobs": 1})
    send(engine, GOOD | {"org_id": "acme", "jobs": [{"test_path": "b.js"}]})
    waits = []
    for _ in range(6):
        take(engine)
        waits.append(engine.value(
            "select round(extract(epoch from vt - last_read_at) / 30) * 30 from pgmq.q_submissions"))  # fmt: skip
        engine.rows("select pgmq.set_vt('submissions', msg_id, 0) from pgmq.q_submissions")
    assert waits == [60, 120, 240, 480, 600, 600]
    engine.call("change_org", org_id="acme", changes={"max_pending_jobs": 2})
    take(engine)
    assert (waiting(engine), dead_letters(engine)) == (0, [])


def test_what_had_to_wait_is_accepted_later(engine: Engine) -> None:
    engine.submit("a.js")
    send(engine, GOOD)
    engine.connection.execute("set lock_timeout = '20ms'")
    with engine.another() as other, other.connection.transaction():
        other.rows("select from qgjob.job for update")
        take(engine)
    engine.rows("select pgmq.set_vt('submissions', msg_id, 0) from pgmq.q_submissions")
    take(engine)
    assert (waiting(engine), dead_letters(engine)) == (0, [])
    assert engine.value("select count(*) from qgjob.run") == 2


def subscribe(engine: Engine, *patterns: str) -> None:
    engine.rows("select pgmq.create('mine')")
    for pattern in patterns:
        engine.rows("select pgmq.bind_topic(%s, 'mine')", pattern)


def events(engine: Engine) -> list[dict[str, Any]]:
    """What came since the last look."""
    return [message for (message,) in engine.rows("select message from pgmq.pop('mine', 100)")]


def names(engine: Engine) -> list[str]:
    return sorted(event["event"] for event in events(engine))


def test_a_whole_life_is_told(engine: Engine) -> None:
    subscribe(engine, "job.#", "run.*", "batch.*")
    run = engine.submit({"test_path": "a.js", "retries": 1})
    (job_id,) = run.job_ids
    driver = engine.drive()
    assert names(engine) == ["run.submitted"]
    batch = engine.claim(driver)
    engine.start(batch.lease, job_id)
    assert names(engine) == ["batch.claimed", "job.started"]
    engine.finish(batch.lease, job_id, "failed", "test")
    engine.release(batch.lease)
    assert names(engine) == ["batch.ended", "job.retried"]
    engine.run_all(driver)
    told = events(engine)
    assert [event["event"] for event in told] == [
        "batch.claimed",
        "job.started",
        "run.finished",
        "job.completed",
        "batch.ended",
    ]
    assert {event["org_id"] for event in told} == {"acme"}
    assert [event["run_id"] for event in told if "run_id" in event] == [run.run_id]


def test_a_repeated_call_is_told_once(engine: Engine) -> None:
    subscribe(engine, "#")
    (job_id,) = engine.submit("a.js", idempotency_key="k").job_ids
    engine.submit("a.js", idempotency_key="k")
    driver = engine.drive()
    engine.claim(driver)
    batch = engine.claim(driver)
    for _ in range(2):
        engine.start(batch.lease, job_id)
    for _ in range(2):
        engine.finish(batch.lease, job_id)
    for _ in range(2):
        engine.release(batch.lease)
    told = names(engine)
    assert told == ["batch.claimed", "batch.ended", "job.completed", "job.started", "run.finished", "run.submitted"]


def test_a_job_that_ends_with_a_lost_worker_is_told(engine: Engine) -> None:
    subscribe(engine, "job.#", "run.*")
    (job_id,) = engine.submit("a.js").job_ids
    driver = engine.drive()
    for _ in range(4):
        batch = engine.claim(driver)
        engine.start(batch.lease, job_id)
        engine.expire(batch.lease)
        engine.call("housekeep")
    told = [name for name in names(engine) if name not in ("job.started", "run.submitted")]
    assert told == ["job.failed", "job.retried", "job.retried", "job.retried", "run.finished"]


def test_a_job_that_is_cancelled_with_a_lost_worker_is_told(engine: Engine) -> None:
    subscribe(engine, "job.#", "run.*")
    (job_id,) = engine.submit("a.js").job_ids
    batch = engine.claim(engine.drive())
    engine.start(batch.lease, job_id)
    engine.call("cancel_job", job_id=job_id)
    assert names(engine) == ["job.started", "run.submitted"]
    engine.expire(batch.lease)
    engine.call("housekeep")
    assert names(engine) == ["job.cancelled", "run.finished"]


def test_a_cancelled_run_is_told_as_finished_also_when_others_keep_its_jobs(engine: Engine) -> None:
    run = engine.submit("a.js")
    engine.submit("a.js")
    subscribe(engine, "run.*", "job.#")
    engine.call("cancel_run", run_id=run.run_id)
    (event,) = events(engine)
    assert (event["event"], event["run_id"]) == ("run.finished", run.run_id)


def test_a_queue_gets_only_what_it_is_bound_to(engine: Engine) -> None:
    subscribe(engine, "run.finished")
    engine.submit("a.js")
    engine.run_all(engine.drive())
    assert names(engine) == ["run.finished"]


def test_what_is_rolled_back_is_not_told(engine: Engine) -> None:
    subscribe(engine, "#")
    with engine.connection.transaction(force_rollback=True):
        engine.submit("a.js")
    with pytest.raises(psycopg.Error):
        engine.submit("/a.js")
    assert events(engine) == []
