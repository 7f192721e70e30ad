"""Labels are few and short, wherever they come from, and a refusal names the one that is not."""

from typing import Any

import psycopg
import pytest
from engine import Engine
from processes import Services
from psycopg.types.json import Jsonb
from test_submissions_together import submission, together

LONGEST = {"n" * 64: "v" * 255} | {str(number): "" for number in range(63)}
WRONG: list[tuple[dict[str, str], str]] = [
    ({"a": "", "branch": "b" * 256}, 'the value of "branch" has at most 255 characters; this one has 256.'),
    ({"n" * 65: ""}, f'a name has 1 to 64 characters; "{"n" * 64}…" has 65.'),
    ({"": "x"}, "a name has 1 to 64 characters; one has none."),
    (LONGEST | {"one more": ""}, "there are at most 64; these are 65."),
]


def add_schedule(engine: Engine, labels: dict[str, str]) -> Any:
    jobs = Jsonb([{"test_path": "a.js"}])
    return engine.call("add_schedule", org_id="acme", name="nightly", cron="0 2 * * *", jobs=jobs, labels=Jsonb(labels))


def register(engine: Engine, labels: dict[str, str]) -> Any:
    worker_id = engine.drive().worker_id
    return engine.call("register_device", worker_id=worker_id, name="new", target="device", labels=Jsonb(labels))


@pytest.mark.parametrize(("labels", "said"), WRONG)
def test_what_is_too_long_or_too_much_is_refused_by_name(engine: Engine, labels: dict[str, str], said: str) -> None:
    ways = {
        "run": [lambda: engine.submit("a.js", labels=labels), lambda: together(engine, [submission(labels=labels)])],
        "device": [lambda: register(engine, labels)],
    }
    for kind, calls in ways.items():
        for call in calls:
            with pytest.raises(psycopg.Error) as refusal:
                call()
            told = refusal.value.diag
            assert (told.constraint_name, told.column_name) == ("labels_are_few_and_short", "labels")
            assert told.message_primary == f"The labels of a {kind}: {said}"
    with pytest.raises(psycopg.Error) as refusal:
        engine.submit("a.js", {"test_path": "b.js", "selector": labels})
    told = refusal.value.diag
    assert (told.constraint_name, told.column_name) == ("job_is_well_formed", "jobs[1].selector")
    assert told.message_primary == f"jobs[1]: selector: {said}"
    assert engine.value("select count(*) from qgjob.run") == 0


def test_as_many_and_as_long_as_that_are_fine(engine: Engine) -> None:
    engine.submit("a.js", labels=LONGEST)
    together(engine, [submission(labels=LONGEST)])
    register(engine, LONGEST)
    engine.submit({"test_path": "a.js", "selector": {"n" * 64: "v" * 255}})


def test_a_schedule_has_room_for_the_label_that_its_runs_get(engine: Engine) -> None:
    with pytest.raises(psycopg.Error, match="The labels of a schedule's run: there are at most 64; these are 65"):
        add_schedule(engine, LONGEST)
    most = dict(list(LONGEST.items())[:63])
    schedule = add_schedule(engine, most)
    engine.submit("a.js", build="v1")
    run = engine.call("run_schedule", schedule_id=schedule.schedule_id)
    assert engine.value("select labels from qgjob.run where run_id = %s", run.run_id) == most | {"schedule": "nightly"}


def test_a_run_from_before_these_limits_is_run_again_as_it_was(engine: Engine) -> None:
    run = engine.submit("a.js")
    labels = {"branch": "b" * 1000}
    engine.rows("update qgjob.run set labels = %s where run_id = %s returning 1", Jsonb(labels), run.run_id)
    again = engine.call("retry_run", run_id=run.run_id, only="all")
    assert engine.value("select labels from qgjob.run where run_id = %s", again.run_id) == labels


def test_a_worker_gives_its_devices_one_value_of_a_label(services: Services) -> None:
    child = services.start("twice", "worker", "--executor=simulated", "--label=os=14", "--label=os=15")
    assert child.process.wait(60) == 2
    assert "os is given twice: os=14 and os=15" in child.last_lines()
