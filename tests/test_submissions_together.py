"""submit_jobs: many submissions in one transaction do what they would have done one after the other."""

import random
from typing import Any

import pytest
from engine import Engine, refused
from psycopg.types.json import Jsonb

ORGS = ("acme", "globex")


def submission(job: str | dict[str, Any] = "a.js", org: str = "acme", build: str = "v1", **more: Any) -> dict[str, Any]:
    job = {"test_path": job} if isinstance(job, str) else job
    return {"org_id": org, "app_version_id": build, "job": job} | more


def together(engine: Engine, submissions: list[dict[str, Any]]) -> list[Any]:
    return engine.rows("select * from qgjob.submit_jobs(p_submissions => %s)", Jsonb(submissions))


def one_by_one(engine: Engine, submissions: list[dict[str, Any]]) -> list[Any]:
    return [engine.call("submit_job", **item) for item in submissions]


def at_random(dice: random.Random) -> dict[str, Any]:
    job: dict[str, Any] = {"test_path": f"{dice.randrange(4)}.js"}
    if dice.random() < 0.3:
        job["priority"] = dice.choice(["low", "high", "urgent"])
    if dice.random() < 0.2:
        job["target"] = "device"
    if dice.random() < 0.2:
        job["dedupe"] = False
    labels = {"repo": dice.choice("xy")} if dice.random() < 0.5 else {}
    item = submission(job, dice.choice(ORGS), dice.choice(["v1", "v2"]), labels=labels)
    if dice.random() < 0.3:  # the same key for the same submission
        item["idempotency_key"] = str(sorted(job.items())) + str(labels) + item["app_version_id"]
    return item


def told(engine: Engine, answers: list[Any]) -> Any:
    """What can be seen of it, with ids by their order. Not rank_at, which tells how much work came at once."""
    jobs = {job_id: place for place, job_id in enumerate(dict.fromkeys(answer.job_id for answer in answers))}
    runs = {run_id: place for place, run_id in enumerate(dict.fromkeys(answer.run_id for answer in answers))}
    return {
        "answers": [(jobs[job], runs[run], status, joined) for job, run, status, joined in answers],
        "jobs": engine.rows("select test_path, priority, status, predicted_s, failed_before, created_at "
                            "from qgjob.job order by job_id"),
        "runs": engine.rows("select org_id, app_version_id, labels, total, remaining, idempotency_key, request_hash, "
                            "created_at from qgjob.run order by run_id"),
        "waiting": engine.rows("select deduplicated, abandoned from qgjob.job_of_run order by run_id, job_id"),
        "groups": engine.rows(
            "select org_id, app_version_id, target, grouped_by, head_priority, head_at, (select count(*) from "
            "qgjob.job where job.group_id = job_group.group_id) as jobs from qgjob.job_group order by 1, 2, 3, 4"),
        "lanes": engine.rows("select org_id, target, active from qgjob.lane order by 1, 2"),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_many_at_once_are_as_one_after_the_other(engine: Engine, seed: int) -> None:
    dice = random.Random(seed)
    engine.call("create_org", org_id="globex", settings={"group_by": ["repo"]})
    one_by_one(engine, [at_random(dice) for _ in range(6)])
    driver = engine.drive()
    batch = engine.claim(driver, max_jobs=2)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    engine.move_clock(10)
    submissions = [at_random(dice) for _ in range(20)]
    seen = []
    for submit in (together, one_by_one):
        with engine.connection.transaction(force_rollback=True):
            seen.append(told(engine, submit(engine, submissions)))
    assert seen[0] == seen[1]


def test_one_that_is_refused_refuses_all(engine: Engine) -> None:
    engine.submit("a.js")
    wrong = [
        (submission("../b.js"), "job_is_well_formed"),
        (submission(org="no name"), "org_id_is_a_name"),
        (submission(idempotency_key=""), "idempotency_key_is_short"),
        (submission(labels={"number": 1}), "labels_are_strings"),
    ]
    for item, rule in wrong:
        with refused(rule):
            together(engine, [submission("b.js"), item, submission("c.js")])
    assert engine.value("select count(*) from qgjob.run") == 1


def test_a_key_that_comes_twice_at_once_is_one_run(engine: Engine) -> None:
    first, second, other = together(
        engine, [submission(idempotency_key="k"), submission(idempotency_key="k"), submission(idempotency_key="other")]
    )
    assert first == second
    assert (other.job_id, other.deduplicated) == (first.job_id, True)
    with refused("idempotency_key_is_used_once"):
        together(engine, [submission("b.js", idempotency_key="k"), submission("c.js")])


def test_quotas_count_all_of_them(engine: Engine) -> None:
    engine.call("create_org", org_id="acme", settings={"max_pending_jobs": 3})
    together(engine, [submission("a.js"), submission("b.js"), submission("b.js"), submission("x.js", "globex")])
    with refused("pending_jobs_are_limited"):
        together(engine, [submission("c.js"), submission("d.js"), submission("y.js", "globex")])
    together(engine, [submission("c.js"), submission("y.js", "globex")])
    assert engine.value("select count(*) from qgjob.job where org_id = 'acme'") == 3


def test_each_run_is_an_event(engine: Engine) -> None:
    engine.rows("select pgmq.create('heard')")
    engine.rows("select pgmq.bind_topic('run.submitted', 'heard')")
    runs = together(engine, [submission("a.js"), submission("b.js", "globex")])
    heard = engine.rows("select (message ->> 'run_id')::bigint as run_id, message ->> 'org_id' as org_id, "
                        "message ->> 'jobs' as jobs from pgmq.read('heard', 30, 10) order by 1")  # fmt: skip
    assert heard == [(runs[0].run_id, "acme", "1"), (runs[1].run_id, "globex", "1")]


def test_more_than_a_thousand_at_once_are_refused(engine: Engine) -> None:
    with refused("submissions_are_a_list"):
        together(engine, [submission()] * 1001)
    assert len(together(engine, [submission(f"{n}.js") for n in range(1000)])) == 1000
