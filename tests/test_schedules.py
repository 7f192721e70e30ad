"""A schedule fires once for each of its times, whoever does it and whatever happens meanwhile."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from engine import Engine, refused
from processes import Services
from psycopg.types.json import Jsonb
from stand_in import qgjob
from test_races import Session, after, held, second  # noqa: F401 - a fixture

import sql
from qgjob.children import wait_until
from sql import housekeeping
from sql.housekeeping import UnreadableCron, next_time

JOBS = [{"test_path": "a.js"}]


def add(engine: Engine, name: str = "nightly", **options: Any) -> Any:
    at = {} if "at" in options or "cron" in options else {"cron": "0 2 * * *"}
    return engine.call("add_schedule", org_id="acme", name=name, jobs=Jsonb(options.pop("jobs", JOBS)),
                       **at, **({"app_version_id": "v1"} | options))  # fmt: skip


def get(engine: Engine, added: Any) -> Any:
    return engine.call("get_schedule", schedule_id=added.schedule_id)


def runs(engine: Engine) -> int:
    return int(engine.value("select count(*) from qgjob.run"))


def due(engine: Engine, added: Any, ago: str = "1 min") -> datetime:
    """Now it is due, since so long."""
    return engine.value(  # type: ignore[no-any-return]
        "update qgjob.schedule set next_at = qgjob.now() - %s::interval where schedule_id = %s returning next_at",
        ago,
        added.schedule_id,
    )


def housekeep(engine: Engine) -> None:
    """What every process does, in one of its own."""

    async def once() -> None:
        async with sql.open_pool(engine.url, size=2) as db:
            await housekeeping.housekeep(db)

    asyncio.run(once())


def fire(engine: Engine, added: Any, due_at: datetime | None, next_at: datetime | None, **options: Any) -> Any:
    schedule = get(engine, added)
    return engine.call("fire_schedule", schedule_id=added.schedule_id, cron=schedule.cron,
                       time_zone=schedule.time_zone, due_at=due_at, next_at=next_at, **options)  # fmt: skip


def test_one_that_cannot_be_submitted_holds_up_no_other(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "FIRE_S", 0.5)
    stuck, fine = add(engine, "stuck", app_version_id="v1"), add(engine, "fine", app_version_id="v2")
    housekeep(engine)
    engine.submit("other.js")  # so that the build is there
    due(engine, stuck, "2 min")
    due(engine, fine)
    with engine.another() as other, held(other):
        other.rows("select from qgjob.build where app_version_id = 'v1' for update")
        housekeep(engine)
    postponed = get(engine, stuck)
    assert get(engine, fine).last_run_id is not None
    assert (postponed.last_run_id, "longer than" in postponed.last_error) == (None, True)
    due(engine, stuck)
    housekeep(engine)
    assert (get(engine, stuck).last_run_id is not None, get(engine, stuck).last_error) == (True, None)


def test_what_was_fired_meanwhile_is_not_postponed(engine: Engine) -> None:
    nightly = add(engine)
    housekeep(engine)
    due_at = due(engine, nightly)
    housekeep(engine)
    fired = get(engine, nightly)
    engine.call("postpone_schedule", schedule_id=nightly.schedule_id, due_at=due_at, error="too slow")
    assert get(engine, nightly) == fired


def test_a_schedule_that_is_due_submits_its_run_and_is_due_again(engine: Engine) -> None:
    nightly = add(engine, labels={"suite": "full"}, defaults={"target": "device", "retries": 2})
    housekeep(engine)
    next_at = get(engine, nightly).next_at
    assert (next_at.astimezone(UTC).hour, next_at.minute, runs(engine)) == (2, 0, 0)
    due(engine, nightly)
    housekeep(engine)
    housekeep(engine)
    fired = get(engine, nightly)
    assert (fired.next_at, fired.last_error, runs(engine)) == (next_at, None, 1)
    run = engine.run(fired.last_run_id)
    assert run.labels == {"suite": "full", "schedule": "nightly"}
    job = engine.row("select target, retries from reporting.jobs")
    assert job == ("device", 2)


def test_times_that_were_missed_are_made_up_for_once(engine: Engine) -> None:
    hourly = add(engine, cron="0 * * * *")
    due(engine, hourly, "3 days")
    for _ in range(3):
        housekeep(engine)
    assert runs(engine) == 1
    assert get(engine, hourly).next_at > datetime.now(UTC)


def test_once_at_a_time_is_once(engine: Engine) -> None:
    once = add(engine, at=datetime.now(UTC) + timedelta(hours=1))
    assert get(engine, once).next_at == once.at
    housekeep(engine)
    assert runs(engine) == 0
    due(engine, once)
    for _ in range(3):
        housekeep(engine)
    done = get(engine, once)
    assert (runs(engine), done.status, done.next_at) == (1, "done", None)


def test_two_processes_that_fire_the_same_time_submit_once(engine: Engine, second: Session) -> None:  # noqa: F811
    nightly = add(engine)
    due_at = due(engine, nightly)
    next_at = datetime.now(UTC) + timedelta(days=1)
    with held(engine):
        fire(engine, nightly, due_at, next_at)
        assert after(second.begin(lambda session: fire(session, nightly, due_at, next_at))) is None
    assert fire(engine, nightly, due_at, next_at) is None, "nor afterwards"
    assert runs(engine) == 1


def test_one_that_dies_while_it_fires_leaves_it_due(engine: Engine, second: Session) -> None:  # noqa: F811
    nightly = add(engine)
    due_at = due(engine, nightly)
    with second.engine.connection.transaction(force_rollback=True):
        fire(second.engine, nightly, due_at, None)
    assert runs(engine) == 0
    housekeep(engine)
    assert runs(engine) == 1


def test_many_housekeepers_at_once_fire_each_schedule_once(engine: Engine) -> None:
    schedules = [add(engine, f"s{number}", jobs=[{"test_path": f"{number}.js"}]) for number in range(12)]
    for schedule in schedules:
        due(engine, schedule)

    def keep(_: int) -> None:
        async def all_due() -> None:
            async with sql.open_pool(engine.url, size=2) as db:
                await housekeeping.fire_schedules(db)

        asyncio.run(all_due())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(keep, range(6)))
    assert runs(engine) == 12
    assert engine.value("select count(distinct last_run_id) from reporting.schedules where last_error is null") == 12


def test_what_was_changed_meanwhile_is_not_overwritten(engine: Engine) -> None:
    nightly = add(engine)
    engine.call("change_schedule", schedule_id=nightly.schedule_id, changes={"cron": "0 5 * * *"})
    stale = engine.call("fire_schedule", schedule_id=nightly.schedule_id, cron="0 2 * * *", time_zone="UTC",
                        due_at=None, next_at=datetime.now(UTC))  # fmt: skip
    assert stale is None
    assert get(engine, nightly).next_at is None


def test_a_change_waits_for_a_schedule_that_fires(engine: Engine, second: Session) -> None:  # noqa: F811
    nightly = add(engine)
    due_at = due(engine, nightly)
    with held(engine):
        fire(engine, nightly, due_at, datetime.now(UTC) + timedelta(days=1))
        removed = second.blocked(lambda session: session.call("remove_schedule", schedule_id=nightly.schedule_id))
    after(removed)
    assert runs(engine) == 1
    with refused("schedule_exists"):
        get(engine, nightly)


def test_nothing_fires_before_the_clock_of_the_database_says_so(engine: Engine) -> None:
    nightly = add(engine)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    fire(engine, nightly, None, tomorrow)
    assert fire(engine, nightly, tomorrow, None) is None
    engine.move_clock(2 * 86_400)
    assert fire(engine, nightly, tomorrow, tomorrow + timedelta(days=2)).run_id is not None


def test_a_refused_submission_is_told_and_the_next_time_comes(engine: Engine) -> None:
    newest = add(engine, app_version_id=None)
    due(engine, newest)
    housekeep(engine)
    told = get(engine, newest)
    assert "has no build yet" in told.last_error
    assert (told.status, runs(engine)) == ("active", 0)
    assert told.next_at > datetime.now(UTC)

    engine.submit("x.js", build="v7")
    due(engine, newest)
    housekeep(engine)
    told = get(engine, newest)
    assert told.last_error is None
    assert engine.run(told.last_run_id).app_version_id == "v7"


def test_a_full_quota_is_tried_again_within_a_minute(engine: Engine) -> None:
    nightly = add(engine)
    engine.call("change_org", org_id="acme", changes={"max_pending_jobs": 1})
    run = engine.submit("x.js")
    due(engine, nightly)
    housekeep(engine)
    told = get(engine, nightly)
    assert "may have 1 pending jobs" in told.last_error
    assert told.next_at < datetime.now(UTC) + timedelta(minutes=2)
    engine.call("cancel_run", run_id=run.run_id)
    due(engine, nightly)
    housekeep(engine)
    assert get(engine, nightly).last_error is None


def test_an_expression_that_cannot_be_read_pauses_the_schedule_and_says_so(engine: Engine) -> None:
    bad = add(engine, cron="61 * * * *")
    unknown = add(engine, "other", time_zone="Mars/Olympus")
    housekeep(engine)
    assert (get(engine, bad).status, "cannot be read" in get(engine, bad).last_error) == ("paused", True)
    assert (get(engine, unknown).status, "no time zone Mars" in get(engine, unknown).last_error) == ("paused", True)


def test_a_paused_schedule_fires_nothing_and_makes_up_for_nothing(engine: Engine) -> None:
    nightly = add(engine)
    due(engine, nightly)
    engine.call("change_schedule", schedule_id=nightly.schedule_id, changes={"enabled": False})
    housekeep(engine)
    assert (runs(engine), get(engine, nightly).status) == (0, "paused")
    engine.call("change_schedule", schedule_id=nightly.schedule_id, changes={"enabled": True})
    housekeep(engine)
    assert runs(engine) == 0
    assert get(engine, nightly).next_at > datetime.now(UTC)


def test_running_it_now_leaves_its_times_alone(engine: Engine) -> None:
    nightly = add(engine, enabled=False)
    first = engine.call("run_schedule", schedule_id=nightly.schedule_id, idempotency_key="k")
    again = engine.call("run_schedule", schedule_id=nightly.schedule_id, idempotency_key="k")
    assert (again.run_id, again.replayed, runs(engine)) == (first.run_id, True, 1)
    assert (get(engine, nightly).status, get(engine, nightly).last_run_id) == ("paused", first.run_id)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"cron": None, "at": None}, "schedule_has_one_time"),
        ({"cron": "* * * * *", "at": datetime(2100, 1, 1, tzinfo=UTC)}, "schedule_has_one_time"),
        ({"at": datetime(2000, 1, 1, tzinfo=UTC)}, "at_is_in_the_future"),
        ({"cron": ""}, "cron_is_readable"),
        ({"cron": "*" * 201}, "cron_is_readable"),
        ({"time_zone": ""}, "time_zone_is_known"),
        ({"jobs": []}, "jobs_are_a_list"),
        ({"jobs": [{"test_path": "../x"}]}, "job_is_well_formed"),
        ({"labels": {"a": 1}}, "labels_are_strings"),
        ({"app_version_id": "a b"}, "app_version_id_is_a_name"),
        ({"name": "a b"}, "name_is_a_name"),
        ({"enabled": None}, "enabled_is_known"),
    ],
)
def test_a_schedule_that_could_never_submit_is_refused(engine: Engine, options: dict[str, Any], rule: str) -> None:
    with refused(rule):
        add(engine, **options)
    assert engine.value("select count(*) from qgjob.schedule") == 0


def test_names_are_unique_in_an_organisation_and_changes_are_checked(engine: Engine) -> None:
    nightly, other = add(engine), add(engine, "other")
    with refused("schedule_name_is_unique"):
        add(engine)
    with refused("schedule_name_is_unique"):
        engine.call("change_schedule", schedule_id=other.schedule_id, changes={"name": "nightly"})
    with refused("schedule_field_is_known"):
        engine.call("change_schedule", schedule_id=nightly.schedule_id, changes={"next_at": None})
    changed = engine.call("change_schedule", schedule_id=nightly.schedule_id,
                          changes={"at": "2100-01-01T00:00:00Z"})  # fmt: skip
    assert (changed.cron, changed.next_at) == (None, datetime(2100, 1, 1, tzinfo=UTC))


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("cron", "after_", "expected"),
    [
        # The clocks jump from 02:00 to 03:00: what was due in between is due right after.
        ("30 2 * * *", "2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00"),
        ("30 2 * * *", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"),
        ("30 * * * *", "2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00"),
        # They jump back from 03:00 to 02:00: 02:30 comes twice, the schedule once.
        ("30 2 * * *", "2026-10-24T02:30+02:00", "2026-10-25T02:30+02:00"),
        ("30 2 * * *", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"),
        # What is due every hour is due in each of them.
        ("30 * * * *", "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"),
        ("30 * * * *", "2026-10-25T02:30+01:00", "2026-10-25T03:30+01:00"),
        ("0 0 29 2 *", "2026-01-01T00:00+01:00", "2028-02-29T00:00+01:00"),
        ("0 9 * * MON-FRI", "2026-11-20T09:00+01:00", "2026-11-23T09:00+01:00"),
    ],
)
def test_days_on_which_clocks_change(cron: str, after_: str, expected: str) -> None:
    assert next_time(cron, BERLIN, datetime.fromisoformat(after_)) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("cron", "zone", "field"),
    [
        ("0 0 30 2 *", "UTC", "cron"),
        ("* * * *", "UTC", "cron"),
        ("* * * * * *", "UTC", "cron"),
        ("@daily", "UTC", "cron"),
        ("99 * * * *", "UTC", "cron"),
        ("* * * * *", "../etc/passwd", "time_zone"),
        ("* * * * *", "", "time_zone"),
        ("* * * * *", "Europe", "time_zone"),
        ("* * * * *", "a\0b", "time_zone"),
    ],
)
def test_what_cannot_be_read_is_named(cron: str, zone: str, field: str) -> None:
    with pytest.raises(UnreadableCron) as error:
        next_time(cron, zone, datetime(2026, 1, 1, tzinfo=UTC))
    assert error.value.field == field


def test_replicas_fire_what_is_due_once(engine: Engine, services: Services) -> None:
    for name in ("one", "two"):
        services.api(name)
    services.worker("lab", "--setting", "duration_s=0")
    nightly = add(engine)
    due(engine, nightly)

    def finished() -> bool:
        return bool(engine.value("select count(*) from reporting.runs where status = 'completed'"))

    assert wait_until(finished, 30)
    assert runs(engine) == 1


def test_how_a_schedule_submits_is_shown_and_can_be_changed(services: Services, tmp_path: Path) -> None:
    url = services.api()
    (tmp_path / ".qgjob.toml").write_text('org_id = "acme"\nretries = 2\njob_timeout = "5m"\n')
    (tmp_path / "smoke.toml").write_text('defaults = {priority = "low"}\ntests = [{path = "c.js"}]\n')
    for name in ("a.js", "b.js", "c.js"):
        (tmp_path / name).touch()

    def said(*argv: str) -> list[str]:
        done = qgjob("schedules", *argv, cwd=tmp_path, QGJOB_SERVER_URL=url)
        assert done.exit == 0, done
        return [" ".join(line.split()) for line in done.stdout.splitlines()]

    said("add", "old", "--cron=0 2 * * *", "--test=*.js", "--priority=high", "--label=a=1")
    shown = said("show", "old")
    assert shown[-6:] == ["priority high", "retries 2", "timeout 5 min 0 s", "tests a.js", "b.js", "c.js"]
    said("set", "old", "--priority=urgent", "--retries=0", "--label=b=2")
    shown = said("show", "old")
    assert {"priority urgent", "retries 0", "timeout 5 min 0 s", "labels a=1,b=2", "b.js"} <= set(shown)
    said("set", "old", "--manifest=smoke.toml")
    assert said("show", "old")[-4:] == ["priority low", "retries 2", "timeout 5 min 0 s", "tests c.js"]


def test_a_manifest_gives_a_schedule_the_same_labels_whether_it_is_new_or_changed(
    services: Services, tmp_path: Path
) -> None:
    url = services.api()
    (tmp_path / ".qgjob.toml").write_text('org_id = "acme"\nlabels = {team = "checkout", suite = "all"}\n')
    (tmp_path / "smoke.toml").write_text('labels = {suite = "smoke"}\ntests = [{path = "a.js"}]\n')
    (tmp_path / "other.toml").write_text('tests = [{path = "b.js"}]\n')

    def labels(*argv: str) -> Any:
        done = qgjob("schedules", *argv, "--json", cwd=tmp_path, QGJOB_SERVER_URL=url)
        assert done.exit == 0, done
        return done.document["data"]["labels"]

    smoke = {"team": "checkout", "suite": "smoke"}
    assert labels("add", "new", "--cron=0 2 * * *", "--manifest=smoke.toml") == smoke
    assert labels("add", "old", "--cron=0 2 * * *", "--test=a.js", "--label=asked=by-hand")["asked"] == "by-hand"
    assert labels("set", "old", "--manifest=smoke.toml", "--app-version-id=v1") == smoke
    assert labels("set", "old", "--manifest=other.toml") == smoke, "which says none"
    ran = qgjob("schedules", "run-now", "old", "--json", cwd=tmp_path, QGJOB_SERVER_URL=url).document["data"]
    assert services.get(f"/runs/{ran['run_id']}")["labels"] == smoke | {"schedule": "old"}
