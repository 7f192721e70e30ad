"""What an organisation may have pending, at the same time and however many submit at once."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from engine import Engine, refused
from psycopg.types.json import Jsonb
from test_races import Session, after, held, second  # noqa: F401 - a fixture


def limit(engine: Engine, jobs: int | None, org: str = "acme") -> None:
    engine.rows("insert into qgjob.org (org_id, created_at) values (%s, now()) on conflict do nothing returning 1", org)
    engine.call("change_org", org_id=org, changes={"max_pending_jobs": jobs})


def paths(number: int, prefix: str = "t") -> list[str]:
    return [f"{prefix}{n}.js" for n in range(number)]


def test_a_full_quota_refuses_and_says_how_full(engine: Engine) -> None:
    limit(engine, 10)
    engine.submit(*paths(8))
    with pytest.raises(psycopg.Error, match="may have 10 pending jobs: 8 are pending, and these would be 3 more"):
        engine.submit(*paths(3, "more"))
    engine.submit(*paths(2, "more"))
    assert engine.call("get_org", org_id="acme").pending == 10


def test_a_refused_submission_leaves_nothing(engine: Engine) -> None:
    limit(engine, 10)
    engine.submit(*paths(10))
    with refused("pending_jobs_are_limited"):
        engine.submit("more.js", build="v2")
    assert engine.value("select count(*) from qgjob.job") == 10
    assert engine.value("select count(*) from qgjob.run") == 1
    assert engine.value("select count(*) from qgjob.build") == 1


def test_a_run_that_can_never_fit_is_not_told_to_wait(engine: Engine) -> None:
    limit(engine, 10)
    with refused("run_fits_the_quota"):
        engine.submit(*paths(11))


def test_room_comes_back_when_devices_take_jobs_or_runs_are_cancelled(engine: Engine) -> None:
    limit(engine, 10)
    run = engine.submit(*paths(10))
    batch = engine.claim(engine.drive(), max_jobs=4)
    engine.submit(*paths(len(batch.jobs), "more"))
    with refused("pending_jobs_are_limited"):
        engine.submit("one.js")
    engine.call("cancel_run", run_id=run.run_id)
    engine.submit(*paths(10 - len(batch.jobs), "again"))


def test_what_devices_give_back_counts_again(engine: Engine) -> None:
    limit(engine, 10)
    engine.submit(*paths(10))
    batch = engine.claim(engine.drive())
    assert len(batch.jobs) == 10
    engine.submit(*paths(4, "more"))
    engine.release(batch.lease)
    for build in range(3):
        with refused("pending_jobs_are_limited"):
            engine.submit("one.js", build=f"v{build}")
    assert engine.call("get_org", org_id="acme").pending == 14


def test_what_is_waited_for_already_needs_no_room(engine: Engine) -> None:
    limit(engine, 10)
    first = engine.submit(*paths(10), idempotency_key="k")
    assert engine.submit(*paths(10)).deduplicated == 10
    assert engine.submit(*paths(10), idempotency_key="k").run_id == first.run_id
    with refused("pending_jobs_are_limited"):
        engine.submit({"test_path": "t1.js", "dedupe": False})


def test_a_quota_that_is_set_later_counts_what_is_there(engine: Engine) -> None:
    engine.submit(*paths(8))
    limit(engine, 10)
    with refused("pending_jobs_are_limited"):
        engine.submit(*paths(3, "more"))
    limit(engine, None)
    engine.submit(*paths(30, "more"))
    limit(engine, 5)
    with refused("pending_jobs_are_limited"):
        engine.submit("last.js")
    engine.submit(*paths(3, "more"), org="globex")


def test_selectors_do_not_wait_for_free_where_jobs_were_cancelled(engine: Engine) -> None:
    for first in (0, 200):
        last = engine.submit(*selecting(*range(first, first + 200)))
        if first == 0:
            engine.call("cancel_run", run_id=last.run_id)
    with refused("waiting_selectors_are_limited"):
        engine.submit(*selecting(0))
    engine.submit(*selecting(200), build="v2")


def test_two_that_submit_at_once_do_not_share_the_last_room(engine: Engine, second: Session) -> None:  # noqa: F811
    limit(engine, 10)
    engine.submit(*paths(5))
    with held(engine):
        engine.submit(*paths(4, "mine"))
        other = second.blocked(lambda session: session.submit(*paths(4, "other")))
    with refused("pending_jobs_are_limited"):
        after(other)
    assert engine.call("get_org", org_id="acme").pending == 9


def test_one_that_is_rolled_back_gives_its_room_to_the_next(engine: Engine, second: Session) -> None:  # noqa: F811
    limit(engine, 10)
    engine.submit(*paths(5))
    with engine.connection.transaction(force_rollback=True):
        engine.submit(*paths(4, "mine"))
        other = second.blocked(lambda session: session.submit(*paths(4, "other")))
    assert after(other).total == 4


def test_many_submissions_at_once_fill_the_quota_exactly(engine: Engine) -> None:
    limit(engine, 50)

    def submit(number: int) -> int:
        with engine.another() as session:
            try:
                return int(session.submit(*paths(3, f"{number}-")).total)
            except psycopg.Error as error:
                if error.sqlstate != "QJ429":
                    raise
                return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(submit, range(40))) == 48
    assert engine.call("get_org", org_id="acme").pending == 48


def test_a_message_waits_for_room_instead_of_being_lost(engine: Engine) -> None:
    limit(engine, 1)
    run = engine.submit("a.js")
    message = {"org_id": "acme", "app_version_id": "v1", "jobs": [{"test_path": "b.js"}]}
    engine.rows("select pgmq.send('submissions', %s)", Jsonb(message))
    for _ in range(7):
        assert engine.call("housekeep").submitted == 1
        engine.rows("select pgmq.set_vt('submissions', 1, 0)")
    assert engine.value("select count(*) from pgmq.q_dead_letters") == 0
    engine.call("cancel_run", run_id=run.run_id)
    engine.call("housekeep")
    assert engine.value("select count(*) from qgjob.job where test_path = 'b.js'") == 1


def selecting(*numbers: int, **more: str) -> list[dict[str, object]]:
    return [{"test_path": "a.js", "selector": {"number": str(number)}, **more} for number in numbers]


def test_jobs_wait_for_a_limited_number_of_selectors(engine: Engine) -> None:
    run = engine.submit(*selecting(*range(198)))
    told = "may wait for 200 different selectors of the target emulator: they wait for 198, and this submission has 3"
    with pytest.raises(psycopg.Error, match=told) as refusal:
        engine.submit(*selecting(5, 198, 199, 200), build="v2")
    assert (refusal.value.sqlstate, refusal.value.diag.column_name) == ("QJ429", "selector")
    assert engine.value("select count(*) from qgjob.build") == 1, "nothing is left of it"
    engine.submit(*selecting(198, 199), build="v2")
    engine.submit(*selecting(*range(200)), build="v3")
    engine.submit(*selecting(200, target="device"))
    engine.submit(*selecting(200), org="globex")
    with refused("waiting_selectors_are_limited"):
        engine.submit(*selecting(200))
    engine.call("cancel_run", run_id=run.run_id)
    with refused("waiting_selectors_are_limited"):
        engine.submit(*selecting(200))


def test_a_selector_that_nobody_waits_for_any_more_makes_room(engine: Engine) -> None:
    run = engine.submit(*selecting(*range(200)))
    driver = engine.drive(number="7")
    batch = engine.claim(driver)
    engine.submit(*selecting(200))
    with refused("waiting_selectors_are_limited"):
        engine.submit(*selecting(201))
    engine.release(batch.lease)  # what comes back is never refused
    assert engine.job(batch.jobs[0]["job_id"]).status == "pending"
    engine.call("cancel_run", run_id=run.run_id)
    assert engine.submit(*selecting(*range(300, 499))).total == 199
    with refused("waiting_selectors_are_limited"):
        engine.submit(*selecting(500))


def test_two_that_submit_at_once_do_not_share_the_last_selector(engine: Engine, second: Session) -> None:  # noqa: F811
    engine.submit(*selecting(*range(199)))
    engine.submit(*selecting(1000, target="device"))
    with held(engine):
        engine.submit(*selecting(199, target="emulator"), *selecting(1001, target="device"))
        other = second.blocked(lambda session: session.submit(*selecting(1002, target="device"), *selecting(200)))
    with refused("waiting_selectors_are_limited"):
        after(other)
    assert engine.value("select count(*) from qgjob.lane where active and target = 'emulator'") == 200


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"max_pending_jobs": 0}, "quota_is_positive"),
        ({"requests_per_minute": -1}, "quota_is_positive"),
        ({"max_devices": 0}, "quota_is_positive"),
        ({"weight": 0}, "weight_in_range"),
        ({"weight": None}, "weight_in_range"),
        ({"group_by": ["a", "a"]}, "group_by_is_labels"),
        ({"group_by": ["a", None]}, "group_by_is_labels"),
        ({"group_by": list("abcde")}, "group_by_is_labels"),
        ({"group_by": None}, "group_by_is_labels"),
        ({"colour": "red"}, "org_setting_is_known"),
        ({"org_id": "other"}, "org_setting_is_known"),
    ],
)
def test_settings_that_mean_nothing_are_refused(engine: Engine, changes: dict[str, object], rule: str) -> None:
    engine.call("create_org", org_id="acme")
    before = engine.call("get_org", org_id="acme")
    with refused(rule):
        engine.call("change_org", org_id="acme", changes=changes)
    assert engine.call("get_org", org_id="acme") == before


def test_an_organisation_is_created_once(engine: Engine) -> None:
    made = engine.call("create_org", org_id="acme", settings={"max_devices": 3, "group_by": ["repo"]})
    assert (made.max_devices, made.group_by, made.pending) == (3, ["repo"], 0)
    with refused("org_is_created_once"):
        engine.call("create_org", org_id="acme")
    with refused("org_exists"):
        engine.call("get_org", org_id="globex")
    with refused("org_exists"):
        engine.call("change_org", org_id="globex", changes={})
