"""What submit_run accepts, refuses, joins and answers again."""

import psycopg
import pytest
from engine import Engine, refused


def test_jobs_of_one_build_and_target_share_a_group(engine: Engine) -> None:
    engine.submit("a.js", "b.js", {"test_path": "c.js", "target": "device"})
    engine.submit("d.js")
    groups = engine.rows("select target, pending from reporting.job_groups order by target")
    assert groups == [("device", 1), ("emulator", 3)]


def test_builds_and_organisations_never_share_a_group(engine: Engine) -> None:
    engine.submit("a.js", build="v1")
    engine.submit("a.js", build="v2")
    engine.submit("a.js", build="v1", org="globex")
    assert engine.value("select count(*) from reporting.job_groups") == 3


def test_a_job_that_is_waited_for_is_joined(engine: Engine) -> None:
    first = engine.submit("a.js", "b.js")
    second = engine.submit("b.js", "c.js")
    assert (second.total, second.deduplicated) == (2, 1)
    assert first.job_ids[1] in second.job_ids


def test_a_joined_job_takes_the_higher_priority(engine: Engine) -> None:
    first = engine.submit({"test_path": "a.js", "priority": "low"})
    engine.submit({"test_path": "a.js", "priority": "urgent"})
    assert engine.job(first.job_ids[0]).priority == "urgent"
    assert engine.value("select head_priority from qgjob.job_group") == 3


def test_a_joined_job_takes_the_more_retries_and_the_longer_timeout(engine: Engine) -> None:
    (job_id,) = engine.submit({"test_path": "a.js", "retries": 1, "timeout_s": 60}).job_ids
    batch = engine.claim(engine.drive())
    engine.start(batch.lease, job_id)
    engine.submit({"test_path": "a.js", "retries": 2, "timeout_s": 30})
    engine.submit({"test_path": "a.js", "retries": 0, "timeout_s": 900})
    job = engine.job(job_id)
    assert (job.retries, job.timeout_s, job.priority, job.status) == (2, 900, "normal", "running")
    assert engine.finish(batch.lease, job_id, "failed", "test").status == "pending"


def test_a_job_that_has_ended_is_not_joined(engine: Engine) -> None:
    first = engine.submit("a.js")
    engine.run_all(engine.drive())
    assert engine.submit("a.js").job_ids != first.job_ids


def test_dedupe_can_be_declined(engine: Engine) -> None:
    first = engine.submit("a.js")
    second = engine.submit({"test_path": "a.js", "dedupe": False}, {"test_path": "a.js", "dedupe": False})
    assert second.total == 2
    assert not set(first.job_ids) & set(second.job_ids)


def test_the_same_test_twice_in_a_submission_is_one_job(engine: Engine) -> None:
    assert engine.submit("a.js", "a.js", "b.js").total == 2


def test_a_run_needs_few_installations(engine: Engine) -> None:
    """Each is a group and a lane, so that many of them would hold up everybody."""
    jobs = [{"test_path": "a.js", "selector": {"number": str(number)}} for number in range(200)]
    jobs.append(jobs[0] | {"reset": "none"})
    with refused("run_has_few_groups"):
        engine.submit(*jobs)
    assert engine.value("select count(*) from qgjob.job_group") == 0
    engine.submit(*jobs[:200])
    assert engine.submit(*jobs).deduplicated == 200


def test_a_repeated_key_gets_the_first_answer(engine: Engine) -> None:
    first = engine.submit("a.js", "b.js", idempotency_key="k")
    again = engine.submit("a.js", "b.js", idempotency_key="k")
    assert (again.run_id, again.job_ids, again.replayed) == (first.run_id, first.job_ids, True)
    assert engine.value("select count(*) from qgjob.job") == 2


def test_the_same_key_with_another_submission_is_refused(engine: Engine) -> None:
    engine.submit("a.js", idempotency_key="k")
    with pytest.raises(psycopg.Error) as refused:
        engine.submit("b.js", idempotency_key="k")
    assert refused.value.sqlstate == "QJ409"
    assert refused.value.diag.constraint_name == "idempotency_key_is_used_once"


def test_keys_of_organisations_are_apart(engine: Engine) -> None:
    first = engine.submit("a.js", idempotency_key="k")
    other = engine.submit("a.js", idempotency_key="k", org="globex")
    assert first.run_id != other.run_id


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"test_path": "/etc/passwd"}, "test_path"),
        ({"test_path": "../a.js"}, "test_path"),
        ({"test_path": "a/../../b.js"}, "test_path"),
        ({"test_path": "a//b.js"}, "test_path"),
        ({"test_path": "-rf"}, "test_path"),
        ({"test_path": "a\\b.js"}, "test_path"),
        ({"test_path": "a\nb.js"}, "test_path"),
        ({"test_path": ""}, "test_path"),
        ({"test_path": "a" * 513}, "test_path"),
        ({"test_path": 7}, "test_path"),
        ({}, "test_path"),
        ({"test_path": "a.js", "target": "toaster"}, "target"),
        ({"test_path": "a.js", "priority": "asap"}, "priority"),
        ({"test_path": "a.js", "priority": 3}, "priority"),
        ({"test_path": "a.js", "retries": 11}, "retries"),
        ({"test_path": "a.js", "retries": -1}, "retries"),
        ({"test_path": "a.js", "retries": "1"}, "retries"),
        ({"test_path": "a.js", "timeout_s": 0}, "timeout_s"),
        ({"test_path": "a.js", "timeout_s": 86_401}, "timeout_s"),
        ({"test_path": "a.js", "timeout_s": 1.5}, "timeout_s"),
        ({"test_path": "a.js", "selector": {"platform": 1}}, "selector"),
        ({"test_path": "a.js", "selector": []}, "selector"),
        ({"test_path": "a.js", "reset": "hard"}, "reset"),
        ({"test_path": "a.js", "dedupe": "no"}, "dedupe"),
        ({"test_path": "a.js", "color": "red"}, "color"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(engine: Engine, wrong: dict[str, object], field: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        engine.submit("good.js", wrong)
    assert refused.value.sqlstate == "QJ422"
    assert refused.value.diag.column_name == f"jobs[1].{field}"
    assert engine.value("select count(*) from qgjob.run") == 0


@pytest.mark.parametrize("name", ["", "a b", "-x", "a/b", "ü", "x" * 129, None])
def test_a_name_is_checked(engine: Engine, name: str | None) -> None:
    for options in ({"org": name}, {"build": name}):
        with pytest.raises(psycopg.Error) as refused:
            engine.submit("a.js", **options)
        assert refused.value.sqlstate == "QJ422"


def test_a_run_has_between_one_and_ten_thousand_jobs(engine: Engine) -> None:
    with pytest.raises(psycopg.Error, match="1 to 10000"):
        engine.submit()
    with pytest.raises(psycopg.Error, match="1 to 10000"):
        engine.submit(*(f"{number}.js" for number in range(10_001)))
    assert engine.submit(*(f"{number}.js" for number in range(10_000))).total == 10_000
