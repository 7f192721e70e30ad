"""An organisation says by which labels of its runs jobs are kept apart, beside build, target, selector and reset."""

from engine import Engine, refused


def group_by(engine: Engine, *labels: str) -> None:
    engine.rows("insert into qgjob.org (org_id, created_at) values ('acme', now()) on conflict do nothing returning 1")
    engine.call("change_org", org_id="acme", changes={"group_by": list(labels)})


def groups(engine: Engine) -> list[tuple[dict[str, str], int]]:
    found = engine.rows("select grouped_by, pending from reporting.job_groups")
    by_label = ((row.grouped_by, row.pending) for row in found)
    return sorted(by_label, key=lambda group: sorted(group[0].items()) or [("~", "")])


def test_runs_of_different_repositories_get_groups_of_their_own(engine: Engine) -> None:
    group_by(engine, "repo", "tag")
    engine.submit("a.js", "b.js", labels={"repo": "shop", "branch": "x"})
    engine.submit("a.js", labels={"repo": "bank", "branch": "x"})
    engine.submit("c.js", labels={"repo": "shop", "branch": "y"})
    engine.submit("a.js", labels={"repo": "shop", "tag": "smoke"})
    engine.submit("a.js")
    assert groups(engine) == [
        ({"repo": "bank"}, 1),
        ({"repo": "shop"}, 3),
        ({"repo": "shop", "tag": "smoke"}, 1),
        ({}, 1),
    ]


def test_without_it_labels_keep_nothing_apart(engine: Engine) -> None:
    engine.submit("a.js", labels={"repo": "shop"})
    assert engine.submit("a.js", labels={"repo": "bank"}).deduplicated == 1
    assert groups(engine) == [({}, 1)]


def test_a_batch_holds_one_repository_and_the_next_needs_no_install(engine: Engine) -> None:
    group_by(engine, "repo")
    engine.submit("a.js", "b.js", labels={"repo": "shop"})
    engine.submit("c.js", labels={"repo": "bank"})
    driver = engine.drive()
    seen: list[tuple[list[str], bool]] = []
    while batch := engine.claim(driver):
        seen.append((sorted(job["test_path"] for job in batch.jobs), batch.install))
        if batch.install:
            engine.call("record_install", lease=batch.lease)
        for job in batch.jobs:
            engine.run_job(batch.lease, job["job_id"])
        engine.release(batch.lease)
    assert sum(install for _, install in seen) == 1
    assert not [jobs for jobs, _ in seen if "c.js" in jobs and len(jobs) > 1]


def test_changing_it_leaves_waiting_jobs_where_they_are_and_a_retry_finds_its_job(engine: Engine) -> None:
    run = engine.submit("a.js", labels={"repo": "shop"})
    group_by(engine, "repo")
    engine.submit("a.js", labels={"repo": "shop"})
    assert groups(engine) == [({"repo": "shop"}, 1), ({}, 1)]
    engine.call("cancel_run", run_id=run.run_id)
    again = engine.call("retry_run", run_id=run.run_id)
    assert again.deduplicated == 1, "the second run waits for the same in the new group"


def test_a_retry_after_the_change_names_the_job_it_repeats(engine: Engine) -> None:
    run = engine.submit("a.js", labels={"repo": "shop"})
    engine.call("cancel_run", run_id=run.run_id)
    group_by(engine, "repo")
    again = engine.call("retry_run", run_id=run.run_id)
    assert engine.job(again.job_ids[0]).retry_of == run.job_ids[0]
    assert groups(engine) == [({"repo": "shop"}, 1)]


def test_a_label_that_groups_is_short(engine: Engine) -> None:
    group_by(engine, "repo")
    engine.submit("a.js", labels={"repo": "ü" * 200})
    with refused("group_label_is_short"):
        engine.submit("a.js", labels={"repo": "x" * 201})
