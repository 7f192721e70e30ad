"""What has ended can be submitted again, and says what it repeats."""

from engine import Engine, refused


def test_a_job_is_retried_as_a_run_of_its_own(engine: Engine) -> None:
    wanted = {"test_path": "a.js", "target": "device", "selector": {"platform": "ios"}, "reset": "none"}
    wanted |= {"priority": "high", "retries": 2, "timeout_s": 60}
    first = engine.submit(wanted)
    engine.call("cancel_run", run_id=first.run_id)
    second = engine.call("retry_job", job_id=first.job_ids[0])
    assert second.run_id != first.run_id
    job = engine.job(second.job_id)
    assert {name: getattr(job, name) for name in wanted} == wanted
    assert (job.retry_of, job.status) == (first.job_ids[0], "pending")
    assert engine.statuses(first.job_ids) == ["cancelled"]


def test_a_retried_job_stays_among_the_runs_and_in_the_group_of_its_labels(engine: Engine) -> None:
    engine.call("create_org", org_id="acme")
    engine.call("change_org", org_id="acme", changes={"group_by": ["repo"]})
    (job_id,) = engine.submit("a.js", labels={"repo": "shop", "branch": "main"}).job_ids
    engine.call("cancel_job", job_id=job_id)
    again = engine.call("retry_job", job_id=job_id)
    assert engine.value("select labels from reporting.runs where run_id = %s", again.run_id) == {
        "repo": "shop", "branch": "main",
    }  # fmt: skip
    assert engine.value("select count(distinct group_id) from qgjob.job") == 1


def test_only_an_ended_job_is_retried(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    with refused("only_an_ended_job_is_retried"):
        engine.call("retry_job", job_id=job_id)
    batch = engine.claim(engine.drive())
    engine.start(batch.lease, job_id)
    with refused("only_an_ended_job_is_retried"):
        engine.call("retry_job", job_id=job_id)


def test_a_retry_with_a_key_happens_once(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    engine.call("cancel_job", job_id=job_id)
    first = engine.call("retry_job", job_id=job_id, idempotency_key="k")
    engine.run_all(engine.drive())
    again = engine.call("retry_job", job_id=job_id, idempotency_key="k")
    assert (again.job_id, again.run_id) == (first.job_id, first.run_id)


def test_a_run_is_retried_once_with_a_key_though_more_of_it_fails_meanwhile(engine: Engine) -> None:
    first = engine.submit("a.js", "b.js")
    lease = engine.claim(engine.drive()).lease
    engine.run_job(lease, first.job_ids[0], "failed", "test")
    second = engine.call("retry_run", run_id=first.run_id, idempotency_key="k")
    assert (second.total, second.replayed) == (1, False)
    engine.run_job(lease, first.job_ids[1], "failed", "test")
    again = engine.call("retry_run", run_id=first.run_id, idempotency_key="k")
    assert (again.run_id, again.job_ids, again.replayed) == (second.run_id, second.job_ids, True)
    with refused("idempotency_key_is_used_once"):
        engine.call("retry_run", run_id=first.run_id, only="all", idempotency_key="k")


def test_a_retry_joins_what_is_waited_for(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    engine.call("cancel_job", job_id=job_id)
    first = engine.call("retry_job", job_id=job_id)
    second = engine.call("retry_job", job_id=job_id)
    assert (second.job_id, second.deduplicated) == (first.job_id, True)


def test_what_did_not_pass_in_a_run_is_retried(engine: Engine) -> None:
    first = engine.submit("passed.js", "failed.js", "cancelled.js", labels={"branch": "main"})
    driver = engine.drive()
    lease = engine.claim(driver).lease
    engine.run_job(lease, first.job_ids[0])
    engine.run_job(lease, first.job_ids[1], "failed", "test")
    engine.call("cancel_job", job_id=first.job_ids[2])
    second = engine.call("retry_run", run_id=first.run_id)
    assert [engine.job(job_id).retry_of for job_id in second.job_ids] == first.job_ids[1:]
    assert engine.run(second.run_id).labels == {"branch": "main"}
    assert engine.run(first.run_id).status == "failed"


def test_a_whole_run_is_retried_when_asked_for(engine: Engine) -> None:
    first = engine.submit("a.js", "b.js")
    engine.run_all(engine.drive())
    with refused("something_failed"):
        engine.call("retry_run", run_id=first.run_id)
    second = engine.call("retry_run", run_id=first.run_id, only="all")
    assert [engine.job(job_id).test_path for job_id in second.job_ids] == ["a.js", "b.js"]


def test_a_retry_is_refused_where_there_is_nothing(engine: Engine) -> None:
    run = engine.submit("a.js")
    with refused("only_is_known"):
        engine.call("retry_run", run_id=run.run_id, only="some")
    with refused("run_exists"):
        engine.call("retry_run", run_id=run.run_id, org_id="globex")
    with refused("job_exists"):
        engine.call("retry_job", job_id=run.job_ids[0], org_id="globex")


def test_a_test_that_was_to_run_twice_is_repeated_twice(engine: Engine) -> None:
    once = {"test_path": "a.js", "dedupe": False}
    first = engine.submit(once, "a.js", once)
    engine.run_all(engine.drive())
    second = engine.call("retry_run", run_id=first.run_id, only="all")
    assert [engine.job(job_id).retry_of for job_id in second.job_ids] == first.job_ids
