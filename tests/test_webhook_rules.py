"""What the database decides about webhooks: who is told of what, when it is tried again, and when it is given up."""

import json
import re
from typing import Any

import pytest
from engine import Engine, refused
from guides import API, GUIDES
from psycopg.types.json import Jsonb

FORMATS = ["json", "slack", "teams"]
URL = "https://ci.example.com/hook"


def add(engine: Engine, *events: str, org: str = "acme", **options: Any) -> Any:
    return engine.call("add_webhook", org_id=org, url=URL, events=list(events or ["run.finished"]), **options)


def take(engine: Engine) -> int:
    taken = 0
    while more := engine.call("take_events").taken:
        taken += more
    return taken


def claim(
    engine: Engine,
    limit: int = 100,
    slow: int = 100,
    formats: list[str] = FORMATS,
    share: int | None = None,
    orgs: list[str] | None = None,
) -> list[Any]:
    return engine.rows(
        "select * from qgjob.claim_deliveries(p_limit => %s, p_slow => %s, p_formats => %s, p_share => %s::integer, "
        "p_orgs => %s)", limit, slow, formats, share, orgs or [],
    )  # fmt: skip


def finish(engine: Engine, claimed: Any, error: str | None = None, **options: Any) -> Any:
    return engine.call(
        "finish_delivery", delivery_id=claimed.delivery_id, try_number=claimed.try_number, error=error, **options
    )


def due_now(engine: Engine) -> None:
    engine.rows("with due as (update qgjob.webhook_delivery set next_at = qgjob.now() where status = 'pending' "
                "returning 1) select count(*) from due")  # fmt: skip


def queued(engine: Engine, count: int, webhook_id: int) -> None:
    """So many deliveries, as if so many events had happened."""
    engine.rows(
        "with new as (insert into qgjob.webhook_delivery (webhook_id, message_id, event, payload, next_at, created_at) "
        "select %s, 'msg_' || n, 'run.finished', '{}', qgjob.now(), qgjob.now() from generate_series(1, %s) as n "
        "returning 1) select count(*) from new",
        webhook_id,
        count,
    )


def shown_quick(engine: Engine) -> None:
    """As if every webhook had had a quick success."""
    engine.rows("update qgjob.webhook set slow = false returning 1")


def bindings(engine: Engine) -> list[str]:
    return [row[0] for row in engine.rows("select pattern from pgmq.topic_bindings order by 1")]


def letters(engine: Engine) -> list[Any]:
    return [row[0] for row in engine.rows("select message from pgmq.q_dead_letters order by msg_id")]


def test_without_webhooks_events_go_nowhere_and_with_them_only_those_that_are_wanted(engine: Engine) -> None:
    engine.submit("a.js")
    assert bindings(engine) == []
    first = add(engine, "run.finished", "job.*")
    second = add(engine, "run.finished")
    assert bindings(engine) == ["job.*", "run.finished"]
    engine.call("update_webhook", webhook_id=first.webhook_id, enabled=False)
    assert bindings(engine) == ["run.finished"]
    engine.submit("b.js")
    assert engine.value("select count(*) from pgmq.q_webhooks") == 0, "run.submitted is not wanted"
    engine.call("remove_webhook", webhook_id=second.webhook_id)
    assert bindings(engine) == []


def test_a_queue_that_somebody_else_has_bound_is_left_alone(engine: Engine) -> None:
    engine.rows("select pgmq.create('mine')")
    engine.rows("select pgmq.bind_topic('run.finished', 'mine')")
    webhook = add(engine)
    engine.call("remove_webhook", webhook_id=webhook.webhook_id)
    assert engine.rows("select pattern, queue_name from pgmq.topic_bindings") == [("run.finished", "mine")]


def test_an_event_reaches_each_webhook_of_its_organisation_that_wants_it_once(engine: Engine) -> None:
    one, other = add(engine, "run.*"), add(engine, "#")
    add(engine, "job.failed")
    add(engine, "#", org="globex")
    engine.submit("a.js")
    assert take(engine) == 1
    assert take(engine) == 0
    claimed = claim(engine)
    assert [row.webhook_id for row in claimed] == [one.webhook_id, other.webhook_id]
    assert len({row.message_id for row in claimed}) == 2
    assert {row.payload["type"] for row in claimed} == {"run.submitted"}


def test_what_happened_before_a_webhook_was_added_is_not_told_to_it(engine: Engine) -> None:
    add(engine, "#")
    engine.submit("a.js")
    add(engine, "#")
    take(engine)
    assert len(claim(engine)) == 1


def test_a_finished_run_is_told_with_its_verdict_and_first_failures(engine: Engine) -> None:
    add(engine)
    run = engine.submit("a.js", *(f"fails-{n:02}.js" for n in range(12)), labels={"branch": "main"})
    driver = engine.drive()
    while batch := engine.claim(driver):
        for job in batch.jobs:
            failed = job["test_path"].startswith("fails")
            engine.start(batch.lease, job["job_id"])
            engine.finish(batch.lease, job["job_id"], *(("failed", "test") if failed else ()), message="m" * 1000)
        engine.release(batch.lease)
    take(engine)
    (claimed,) = claim(engine)
    data = claimed.payload["data"]
    assert (data["run_id"], data["org_id"]) == (run.run_id, "acme")
    assert {name: data["run"][name] for name in ("status", "total", "completed", "failed", "labels")} == {
        "status": "failed", "total": 13, "completed": 1, "failed": 12, "labels": {"branch": "main"},
    }  # fmt: skip
    assert [failure["test_path"] for failure in data["failures"]] == [f"fails-{n:02}.js" for n in range(10)]
    assert {len(failure["message"]) for failure in data["failures"]} == {300}


def test_a_job_is_told_with_its_test(engine: Engine) -> None:
    add(engine, "job.completed")
    run = engine.submit("a.js")
    engine.run_all(engine.drive())
    take(engine)
    (claimed,) = claim(engine)
    job = claimed.payload["data"]["job"]
    assert (job["job_id"], job["run_id"], job["test_path"], job["status"]) == (
        run.job_ids[0], run.run_id, "a.js", "completed",
    )  # fmt: skip


def shape(value: Any) -> Any:
    """The names of the fields; those of labels are the user's."""
    if isinstance(value, dict):
        return {name: None if name == "labels" else shape(inner) for name, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else None


def test_the_bodies_that_the_guide_shows_have_the_fields_of_those_that_are_sent(engine: Engine) -> None:
    add(engine, "run.finished", "job.started")
    shown_quick(engine)
    engine.submit("a.js")
    driver = engine.drive()
    batch = engine.claim(driver)
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    engine.finish(batch.lease, batch.jobs[0]["job_id"], "failed", "test", message="m")
    engine.release(batch.lease)
    take(engine)
    sent = {one.payload["type"]: one.payload for one in claim(engine)}
    told = [json.loads(body) for body in re.findall(r"```json\n(\{.*?)```", GUIDES[API], re.DOTALL)]
    shown = {body["type"]: body for body in told if "type" in body}
    assert shown.keys() == sent.keys()
    assert {event: shape(body) for event, body in shown.items()} == {event: shape(body) for event, body in sent.items()}
    assert sent["job.started"]["data"]["job"]["status"] == "failed", "as it is when the message is made"


@pytest.mark.parametrize(
    "message",
    [
        None,
        7,
        [],
        {},
        {"event": "run.finished"},
        {"org_id": 7, "event": ["x"]},
        {"org_id": "acme", "event": "run.finished", "run_id": "9" * 40, "job_id": {"a": 1}, "at": "yesterday"},
        {"org_id": "acme", "event": "job.failed", "job": "none", "run": [1], "failures": 3},
    ],
)
def test_junk_on_the_queue_blocks_nothing(engine: Engine, message: object) -> None:
    add(engine, "#")
    shown_quick(engine)
    engine.rows("select pgmq.send('webhooks', %s::jsonb)", Jsonb(message))
    engine.submit("a.js")
    assert take(engine) == 2
    assert "run.submitted" in [row.payload["type"] for row in claim(engine)]


def test_one_event_is_taken_once_by_two_processes_and_lost_by_none_that_dies(engine: Engine) -> None:
    add(engine, "#")
    engine.submit("a.js")
    with engine.another() as other:
        with engine.connection.transaction(force_rollback=True):
            assert engine.call("take_events").taken == 1
            assert other.call("take_events").taken == 0
        assert other.call("take_events").taken == 1
    assert len(claim(engine)) == 1


def test_a_claim_is_one_process_s_for_a_minute_and_then_anybody_s_under_the_same_id(engine: Engine) -> None:
    webhook = add(engine)
    queued(engine, 1, webhook.webhook_id)
    (first,) = claim(engine)
    assert claim(engine) == []
    engine.move_clock(61)
    (again,) = claim(engine)
    assert (again.message_id, again.try_number) == (first.message_id, 2)
    finish(engine, first, "It did not answer in time.")
    assert engine.row("select status, tries, claimed_at is null as free from qgjob.webhook_delivery") == (
        "pending", 2, False,
    ), "who comes late is not believed that it failed"  # fmt: skip
    finish(engine, first)
    assert engine.value("select status from qgjob.webhook_delivery") == "delivered", "but that it arrived"
    finish(engine, again, "It did not answer in time.")
    assert engine.value("select status from qgjob.webhook_delivery") == "delivered"


def test_tries_are_ever_further_apart_by_chance_until_the_eighth_is_the_last(engine: Engine) -> None:
    webhook = add(engine)
    for longest_s in (5, 25, 125, 625, 3125, 15625, 43200):
        queued(engine, 40, webhook.webhook_id)
        engine.rows("update qgjob.webhook_delivery set tries = %s where status = 'pending' returning 1",
                    [5, 25, 125, 625, 3125, 15625, 43200].index(longest_s))  # fmt: skip
        waits = []
        for _ in range(40):
            engine.rows("update qgjob.webhook set slow = false returning 1")
            (claimed,) = claim(engine, limit=1)
            finish(engine, claimed, "It answered HTTP 500.", status_code=500)
            waits.append(engine.value(
                "select extract(epoch from next_at - w.last_at) from qgjob.webhook_delivery join qgjob.webhook w "
                "using (webhook_id) where delivery_id = %s", claimed.delivery_id))  # fmt: skip
        assert 0 <= min(waits) < longest_s / 2 < max(waits) <= longest_s, (longest_s, waits)
        engine.rows("with gone as (delete from qgjob.webhook_delivery returning 1) select count(*) from gone")
    queued(engine, 1, webhook.webhook_id)
    engine.rows("update qgjob.webhook_delivery set tries = 7 returning 1")
    (claimed,) = claim(engine)
    assert finish(engine, claimed, "It answered HTTP 500.", status_code=500).status == "dead"
    (letter,) = letters(engine)
    assert (letter["queue"], letter["reason"], letter["message_id"]) == (
        "webhooks", "It answered HTTP 500.", claimed.message_id,
    )  # fmt: skip


def test_a_receiver_may_ask_to_be_left_alone_for_half_a_day_at_most(engine: Engine) -> None:
    webhook = add(engine)
    for asked_s, expected_s in ((600, 600), (10**9, 43200)):
        queued(engine, 1, webhook.webhook_id)
        (claimed,) = claim(engine)
        finish(engine, claimed, "It answered HTTP 429.", status_code=429, retry_after_s=float(asked_s))
        waits = engine.value(
            "select extract(epoch from next_at - w.last_at) from qgjob.webhook_delivery join qgjob.webhook w "
            "using (webhook_id) where delivery_id = %s", claimed.delivery_id)  # fmt: skip
        assert round(waits) == expected_s


def test_410_disables_and_what_waits_is_kept_until_somebody_enables(engine: Engine) -> None:
    webhook = add(engine)
    shown_quick(engine)
    queued(engine, 5, webhook.webhook_id)
    first, *others = claim(engine)
    assert finish(engine, first, "It answered HTTP 410 Gone.", status_code=410).status == "dead"
    for other in others:
        finish(engine, other, "It answered HTTP 410 Gone.", status_code=410)
    (shown,) = engine.rows("select * from qgjob.list_webhooks()")
    assert (shown.enabled, shown.disabled_reason, shown.dead) == (False, "it answered 410 Gone", 4)
    assert bindings(engine) == []
    assert claim(engine) == []
    engine.call("update_webhook", webhook_id=webhook.webhook_id, enabled=True)
    assert bindings(engine) == ["run.finished"]
    (claimed,) = claim(engine)
    finish(engine, claimed)
    assert engine.call("redrive_deliveries", webhook_id=webhook.webhook_id).redriven == 4


def test_five_days_without_a_success_disable(engine: Engine) -> None:
    webhook = add(engine)
    shown_quick(engine)
    queued(engine, 2, webhook.webhook_id)
    engine.rows("update qgjob.webhook_delivery set tries = 7 returning 1")
    one, other = claim(engine)
    finish(engine, one, "It answered HTTP 500.", status_code=500)
    assert engine.value("select enabled from qgjob.webhook")
    engine.rows("update qgjob.webhook set failing_since = failing_since - interval '6 days' returning 1")
    finish(engine, other, "It answered HTTP 500.", status_code=500)
    assert engine.row("select enabled, disabled_reason from qgjob.webhook") == (
        False, "nothing was accepted for five days",
    )  # fmt: skip


def test_what_is_dead_is_redriven_under_its_id_and_leaves_the_dead_letters(engine: Engine) -> None:
    webhook = add(engine)
    shown_quick(engine)
    queued(engine, 3, webhook.webhook_id)
    engine.rows("update qgjob.webhook_delivery set tries = 7 returning 1")
    died = claim(engine)
    for one in died:
        finish(engine, one, "It answered HTTP 500.", status_code=500)
    assert len(letters(engine)) == 3
    with refused("only_the_dead_are_redriven"):
        engine.call("redrive_deliveries", webhook_id=webhook.webhook_id, delivery_id=10**9)
    first = died[0].delivery_id
    assert engine.call("redrive_deliveries", webhook_id=webhook.webhook_id, delivery_id=first).redriven == 1
    with refused("only_the_dead_are_redriven"):
        engine.call("redrive_deliveries", webhook_id=webhook.webhook_id, delivery_id=first)
    assert engine.call("redrive_deliveries", webhook_id=webhook.webhook_id).redriven == 2
    assert letters(engine) == []
    again = claim(engine)
    assert (again[0].message_id, again[0].try_number) == (died[0].message_id, 1)


def test_a_receiver_is_asked_for_four_at_a_time_and_one_that_fails_for_one(engine: Engine) -> None:
    webhook = add(engine)
    shown_quick(engine)
    queued(engine, 20, webhook.webhook_id)
    four = claim(engine)
    assert len(four) == 4
    with engine.another() as other:
        assert claim(other) == [], "by all processes together"
    finish(engine, four[0])
    assert len(claim(engine)) == 1
    for one in four[1:]:
        finish(engine, one, "It did not answer in time.")
    assert claim(engine) == []
    engine.move_clock(61)
    assert len(claim(engine)) == 1


def test_a_new_webhook_is_asked_for_one_at_a_time_until_it_was_quick_once(engine: Engine) -> None:
    webhook = add(engine)
    queued(engine, 20, webhook.webhook_id)
    (first,) = claim(engine)
    assert (first.slow, claim(engine)) == (True, [])
    engine.move_clock(3)
    finish(engine, first)
    (second,) = claim(engine)
    finish(engine, second)
    assert len(claim(engine)) == 4


def test_a_success_that_comes_late_shows_nobody_to_be_quick(engine: Engine) -> None:
    webhook = add(engine)
    queued(engine, 1, webhook.webhook_id)
    (first,) = claim(engine)
    engine.move_clock(61)
    (again,) = claim(engine)
    finish(engine, again, "It did not answer in time.")
    assert finish(engine, first).status == "delivered"
    assert engine.value("select slow from qgjob.webhook")


@pytest.mark.parametrize("change", [{"url": URL + "/other"}, {"enabled": True}])
def test_who_is_renewed_is_as_new_also_where_what_went_before_comes_back_quickly(
    engine: Engine, change: dict[str, Any]
) -> None:
    webhook_id = add(engine).webhook_id
    shown_quick(engine)
    queued(engine, 20, webhook_id)
    before = claim(engine)
    engine.call("update_webhook", webhook_id=webhook_id, enabled="enabled" not in change)
    engine.call("update_webhook", webhook_id=webhook_id, **change)
    for one in before[1:]:
        finish(engine, one)
    assert claim(engine) == [], "one is still on its way"
    finish(engine, before[0])
    (after,) = claim(engine)
    finish(engine, after)
    assert len(claim(engine)) == 4


@pytest.mark.parametrize("change", [{"url": URL}, {"enabled": True}, {"events": ["job.failed"]}, {"description": "x"}])
def test_a_change_that_changes_no_receiver_leaves_what_is_known_of_it(engine: Engine, change: dict[str, Any]) -> None:
    slow, quick = add(engine).webhook_id, add(engine).webhook_id
    shown_quick(engine)
    queued(engine, 5, slow)
    finish(engine, claim(engine)[0], "It did not answer in time.")
    known = "select slow, failing_since from qgjob.webhook order by webhook_id"
    before = engine.rows(known)
    assert [row.slow for row in before] == [True, False]
    for webhook_id in (slow, quick):
        engine.call("update_webhook", webhook_id=webhook_id, **change)
    assert engine.rows(known) == before


def test_an_organisation_has_its_share_of_the_room_and_no_more(engine: Engine) -> None:
    evil = [add(engine, org="evil").webhook_id for _ in range(20)]
    good = [add(engine, org="good").webhook_id for _ in range(2)]
    for quick in (False, True):
        if quick:
            shown_quick(engine)
        for webhook_id in [*evil, *good]:
            queued(engine, 5, webhook_id)
        orgs: list[str] = []
        for expected in ({"evil": 8, "good": 8 if quick else 2}, {}):
            told = [one.org_id for one in claim(engine, limit=32, slow=16, share=8, orgs=orgs)]
            assert {org: told.count(org) for org in told} == expected
            orgs += told
        orgs.remove("evil")
        assert [one.org_id for one in claim(engine, limit=32, slow=16, share=8, orgs=orgs)] == ["evil"]
        engine.rows("with gone as (delete from qgjob.webhook_delivery returning 1) select count(*) from gone")


def test_receivers_that_fail_never_take_the_room_of_the_others(engine: Engine) -> None:
    failing = [add(engine).webhook_id for _ in range(20)]
    working = add(engine).webhook_id
    engine.rows("update qgjob.webhook set slow = webhook_id <> %s returning 1", working)
    for webhook_id in [*failing, working]:
        queued(engine, 10, webhook_id)
    claimed = claim(engine, limit=16, slow=8)
    told = [one.webhook_id for one in claimed]
    assert told[:4] == [working] * 4
    assert (len(told), len(set(told[4:]))) == (12, 8)
    assert {one.slow for one in claimed[4:]} == {True}


def test_two_processes_that_claim_at_once_are_told_of_different_deliveries_within_the_limit(engine: Engine) -> None:
    webhook = add(engine)
    shown_quick(engine)
    queued(engine, 20, webhook.webhook_id)
    with engine.another() as other:
        with engine.connection.transaction():
            mine = claim(engine)
            assert claim(other) == [], "somebody is at this receiver already"
        assert claim(other) == []
    assert len(mine) == 4


def test_a_process_is_given_only_formats_that_it_has(engine: Engine) -> None:
    webhook = add(engine, format="pager")
    queued(engine, 1, webhook.webhook_id)
    assert claim(engine) == []
    assert len(claim(engine, formats=["json", "pager"])) == 1


def test_a_test_is_tried_once_also_where_the_webhook_is_disabled(engine: Engine) -> None:
    webhook = add(engine)
    engine.call("update_webhook", webhook_id=webhook.webhook_id, enabled=False)
    queued(engine, 1, webhook.webhook_id)
    sent = engine.call("test_webhook", webhook_id=webhook.webhook_id)
    (claimed,) = claim(engine)
    assert (claimed.delivery_id, claimed.payload["type"]) == (sent.delivery_id, "webhook.test")
    assert finish(engine, claimed, "It answered HTTP 500.", status_code=500).status == "dead"
    assert letters(engine) == []
    with refused("webhook_is_enabled"):
        engine.call("redrive_deliveries", webhook_id=webhook.webhook_id)
    engine.call("update_webhook", webhook_id=webhook.webhook_id, enabled=True)
    assert engine.call("redrive_deliveries", webhook_id=webhook.webhook_id).redriven == 0


def test_a_test_that_did_not_arrive_has_failed_and_is_not_among_the_dead(engine: Engine) -> None:
    webhook_id = add(engine).webhook_id
    shown_quick(engine)
    sent = engine.call("test_webhook", webhook_id=webhook_id)
    queued(engine, 1, webhook_id)
    engine.rows("update qgjob.webhook_delivery set tries = 7 returning 1")
    for one in claim(engine):
        finish(engine, one, "It answered HTTP 500.", status_code=500)

    def listed(status: str | None) -> list[tuple[int, str]]:
        return engine.rows("select delivery_id, status from qgjob.list_deliveries(%s, p_status => %s)",
                           webhook_id, status)  # fmt: skip

    assert listed("failed") == [(sent.delivery_id, "failed")]
    dead = listed("dead")
    assert ([status for _, status in dead], sorted(listed(None))) == (["dead"], sorted([*listed("failed"), *dead]))
    assert engine.value("select dead from qgjob.list_webhooks()") == 1
    assert engine.call("redrive_deliveries", webhook_id=webhook_id).redriven == 1


def test_both_secrets_sign_until_the_old_one_has_run_out(engine: Engine) -> None:
    webhook = add(engine)
    shown_quick(engine)
    rotated = engine.call("rotate_webhook_secret", webhook_id=webhook.webhook_id, overlap_h=1)
    queued(engine, 3, webhook.webhook_id)
    assert claim(engine, limit=1)[0].secrets == [rotated.secret, webhook.secret]
    engine.move_clock(3700)
    assert claim(engine, limit=1)[0].secrets == [rotated.secret]
    last = engine.call("rotate_webhook_secret", webhook_id=webhook.webhook_id, overlap_h=0)
    assert claim(engine, limit=1)[0].secrets == [last.secret]
    assert len({webhook.secret, rotated.secret, last.secret}) == 3


def test_a_removed_webhook_leaves_nothing_and_a_delivery_on_its_way_ends_nowhere(engine: Engine) -> None:
    webhook = add(engine)
    shown_quick(engine)
    queued(engine, 3, webhook.webhook_id)
    engine.rows("update qgjob.webhook_delivery set tries = 7 returning 1")
    one, other, _ = claim(engine)
    finish(engine, one, "It answered HTTP 500.", status_code=500)
    assert engine.call("remove_webhook", webhook_id=webhook.webhook_id).discarded == 2
    assert finish(engine, other) is None
    assert letters(engine) == []
    assert engine.value("select count(*) from qgjob.webhook_delivery") == 0
    with refused("webhook_exists"):
        engine.call("remove_webhook", webhook_id=webhook.webhook_id)


def test_old_deliveries_are_forgotten_with_their_letters(engine: Engine) -> None:
    webhook = add(engine)
    shown_quick(engine)
    queued(engine, 4, webhook.webhook_id)
    one, other, third, _ = claim(engine)
    finish(engine, one)
    finish(engine, other, "It answered HTTP 410 Gone.", status_code=410)
    finish(engine, third, "It answered HTTP 500.", status_code=500)
    assert engine.value("select payload is null from qgjob.webhook_delivery where status = 'delivered'")
    for days, left in ((2, 4), (2, 3), (29, 2)):
        engine.move_clock(days * 86_400)
        engine.call("housekeep")
        assert engine.value("select count(*) from qgjob.webhook_delivery") == left
    assert letters(engine) == []


def test_adding_again_with_the_same_key_answers_the_same(engine: Engine) -> None:
    first = add(engine, idempotency_key="k")
    assert add(engine, idempotency_key="k") == first
    with refused("idempotency_key_is_used_once"):
        add(engine, "job.failed", idempotency_key="k")
    assert add(engine, org="globex", idempotency_key="k").webhook_id != first.webhook_id


def test_an_organisation_has_fifty_webhooks_at_most(engine: Engine) -> None:
    for _ in range(50):
        add(engine)
    with refused("webhooks_are_few"):
        add(engine)
    add(engine, org="globex")


def test_nobody_touches_the_webhook_of_another_organisation(engine: Engine) -> None:
    webhook = add(engine)
    for function in ("update_webhook", "rotate_webhook_secret", "remove_webhook", "test_webhook", "list_deliveries",
                     "redrive_deliveries"):  # fmt: skip
        with refused("webhook_exists"):
            engine.call(function, webhook_id=webhook.webhook_id, org_id="globex")
    assert engine.rows("select * from qgjob.list_webhooks(p_org_id => 'globex')") == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"org_id": "a b"}, "org_id_is_a_name"),
        ({"url": ""}, "webhook_url_is_usable"),
        ({"url": None}, "webhook_url_is_usable"),
        ({"url": "example.com/hook"}, "webhook_url_is_usable"),
        ({"url": "https://"}, "webhook_url_is_usable"),
        ({"url": "https:///hook"}, "webhook_url_is_usable"),
        ({"url": "https://user:password@example.com/"}, "webhook_url_is_usable"),
        ({"url": "https://example.com/#here"}, "webhook_url_is_usable"),
        ({"url": "https://example.com/a b"}, "webhook_url_is_usable"),
        ({"url": "https://example.com/\r\nHost: x"}, "webhook_url_is_usable"),
        ({"url": "https://exämple.com/"}, "webhook_url_is_usable"),
        ({"url": "https://example.com/" + "a" * 2000}, "webhook_url_is_usable"),
        ({"events": []}, "events_are_known"),
        ({"events": None}, "events_are_known"),
        ({"events": ["run.finishd"]}, "events_are_known"),
        ({"events": ["run.finished", None]}, "events_are_known"),
        ({"events": ["run.finished'; drop table x"]}, "events_are_known"),
        ({"events": ["(a+)+$"]}, "events_are_known"),
        ({"events": ["run.finished"] * 21}, "events_are_known"),
        ({"format": ""}, "format_is_a_name"),
        ({"format": "Slack!"}, "format_is_a_name"),
        ({"description": "a\nb"}, "description_is_short"),
        ({"description": "a" * 201}, "description_is_short"),
        ({"secret": "secret"}, "secret_is_well_formed"),
        ({"secret": "whsec_AAAA"}, "secret_is_well_formed"),
        ({"secret": "whsec_" + "A" * 31}, "secret_is_well_formed"),
        ({"secret": "whsec_" + "A" * 100}, "secret_is_well_formed"),
        ({"idempotency_key": ""}, "idempotency_key_is_short"),
    ],
)
def test_what_could_not_be_a_webhook_is_refused(engine: Engine, change: dict[str, Any], rule: str) -> None:
    with refused(rule):
        engine.call("add_webhook", **({"org_id": "acme", "url": URL} | change))
    assert engine.value("select count(*) from qgjob.webhook") == 0
    assert bindings(engine) == []


@pytest.mark.parametrize("pattern", ["#", "*", "run.*", "*.failed", "job.#", "#.started", "batch.claimed"])
def test_patterns_mean_what_they_mean_to_pgmq(engine: Engine, pattern: str) -> None:
    if pattern == "*":
        with refused("events_are_known"):  # one word, and every event has two
            add(engine, pattern)
        return
    add(engine, pattern)
    (regex,) = engine.row("select compiled_regex from pgmq.topic_bindings where pattern = %s", pattern)
    for ours, theirs in engine.rows(
        "select qgjob.matches_event(%s, event), event ~ %s from unnest(qgjob.event_names()) as event", pattern, regex
    ):
        assert ours == theirs


def test_every_event_that_the_engine_emits_can_be_asked_for(engine: Engine) -> None:
    engine.rows("select pgmq.create('all')")
    engine.rows("select pgmq.bind_topic('#', 'all')")
    first = engine.submit({"test_path": "a.js", "retries": 1}, "b.js")
    driver = engine.drive()
    batch = engine.claim(driver)
    engine.start(batch.lease, first.job_ids[0])
    engine.finish(batch.lease, first.job_ids[0], "failed", "test")
    engine.release(batch.lease)
    batch = engine.claim(driver)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    engine.release(batch.lease)
    engine.call("cancel_run", run_id=first.run_id)
    told = {row[0] for row in engine.rows("select message ->> 'event' from pgmq.q_all")}
    assert told >= {"run.submitted", "job.started", "job.retried", "batch.claimed", "batch.ended", "run.finished"}
    assert told <= set(engine.value("select qgjob.event_names()"))


@pytest.mark.parametrize(
    ("url", "format_name", "shown"),
    [
        ("https://ci.example.com/hook", "json", "https://ci.example.com/hook"),
        ("https://ci.example.com/hook?key=1", "json", "https://ci.example.com/hook?…"),
        ("https://hooks.slack.com/services/T0/B0/secret", "slack", "https://hooks.slack.com/…"),
        ("https://a.example.com?sig=1", "teams", "https://a.example.com/…"),
    ],
)
def test_urls_that_are_credentials_are_not_shown(engine: Engine, url: str, format_name: str, shown: str) -> None:
    added = engine.call("add_webhook", org_id="acme", url=url, format=format_name)
    assert added.url == shown
    assert engine.row("select url from qgjob.list_webhooks()") == (shown,)
