"""What is submitted while a submission is under way shares a transaction, and each still has its own answer."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from callers import Answer, ask, asking, token
from engine import Engine
from processes import Services

import sql
from api.limits import RequestLimits
from api.submitting import SLOW_S, Submitting
from qgjob.children import wait_until
from qgjob.models.submission import JobSubmitted

BLOCKED = """select pid from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and query like '%submit_job%'"""
TRANSACTIONS = "select count(distinct xmin::text) from qgjob.run"


def arguments(path: str, org: str = "acme", **more: Any) -> dict[str, Any]:
    job = {"test_path": path}
    return {"org_id": org, "app_version_id": "v1", "job": job, "labels": {}, "idempotency_key": None} | more


def burst(
    engine: Engine, submissions: list[dict[str, Any]], held: Callable[[Engine], Awaitable[None]] | None = None
) -> list[JobSubmitted | BaseException]:
    """The answers where nothing can be submitted until all of them wait; `held` is called before that ends."""

    async def submit() -> list[JobSubmitted | BaseException]:
        async with sql.open_pool(engine.url, size=4, limit_s=30) as pool:
            db, submitting = sql.OnBehalf(pool, asked=False), Submitting(RequestLimits())
            with engine.another() as other:
                with other.connection.transaction():
                    other.connection.execute("lock table qgjob.run in share mode")
                    tasks = [asyncio.create_task(submitting.submit(db, **each)) for each in submissions]
                    await asyncio.to_thread(wait_until, lambda: engine.rows(BLOCKED), 20)
                    if held:
                        await held(engine)
                return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(submit())


def done(answers: list[JobSubmitted | BaseException]) -> list[JobSubmitted]:
    return [answer for answer in answers if isinstance(answer, JobSubmitted)]


def rule(answer: object) -> str | None:
    assert isinstance(answer, psycopg.Error), answer
    return answer.diag.constraint_name


def test_a_burst_is_a_few_transactions(engine: Engine) -> None:
    answers = done(burst(engine, [arguments(f"{n}.js") for n in range(250)]))
    assert [engine.job(answer.job_id).test_path for answer in answers] == [f"{n}.js" for n in range(250)]
    assert engine.value(TRANSACTIONS) <= 5


def test_who_waits_for_somebody_holds_up_nobody_else(engine: Engine) -> None:
    """The first of a key is under way elsewhere; those that come a little later go past who waits for it."""

    async def submit() -> list[JobSubmitted]:
        async with sql.open_pool(engine.url, size=4) as pool:
            db, submitting = sql.OnBehalf(pool, asked=False), Submitting(RequestLimits())
            with engine.another() as other, other.connection.transaction():
                first = other.submit("a.js", idempotency_key="k")
                same = asyncio.create_task(submitting.submit(db, **arguments("a.js", idempotency_key="k")))
                await asyncio.to_thread(wait_until, lambda: engine.rows(BLOCKED), 20)
                await asyncio.sleep(2 * SLOW_S)
                passed = await submitting.submit(db, **arguments("b.js", "globex"))
                assert not same.done()
            answers = [passed, await same]
            assert answers[1].run_id == first.run_id
            return answers

    assert len(asyncio.run(submit())) == 2


def test_one_that_is_refused_spoils_nothing(engine: Engine) -> None:
    submissions = [arguments(f"{n}.js") for n in range(20)]
    submissions[7] = arguments("../7.js")
    submissions[8] = arguments("a\0b.js")
    submissions[9] = arguments("9.js", labels={"nul": "\0"})
    answers = burst(engine, submissions)
    assert len(done(answers)) == 17
    assert engine.value(TRANSACTIONS) <= 5, "the others are still submitted together"
    assert rule(answers[7]) == "job_is_well_formed"
    assert all(isinstance(answer, psycopg.DataError) for answer in answers[8:10]), answers[8:10]


def test_a_repeated_key_is_one_run(engine: Engine) -> None:
    submissions = [arguments("a.js", idempotency_key="k") for _ in range(10)]
    submissions.append(arguments("b.js", idempotency_key="k"))
    answers = burst(engine, submissions)
    assert len({answer.run_id for answer in done(answers)}) == 1
    assert (len(done(answers)), rule(answers[-1])) == (10, "idempotency_key_is_used_once")


def test_what_the_database_could_not_do_is_said_to_all(engine: Engine) -> None:
    """One by one they would wait for it for longer than anybody waits for them."""

    async def terminate(engine: Engine) -> None:
        engine.rows(f"select pg_terminate_backend(pid) from ({BLOCKED}) as blocked")

    answers = burst(engine, [arguments(f"{n}.js") for n in range(3)], terminate)
    assert all(isinstance(answer, psycopg.OperationalError) for answer in answers), answers
    assert engine.value("select count(*) from qgjob.run") == 0


def test_a_client_that_has_gone_takes_nobody_with_it(engine: Engine) -> None:
    async def submit() -> list[JobSubmitted | BaseException]:
        async with sql.open_pool(engine.url, size=4) as pool:
            db, submitting = sql.OnBehalf(pool, asked=False), Submitting(RequestLimits())
            tasks = [asyncio.create_task(submitting.submit(db, **arguments(f"{n}.js"))) for n in range(10)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

    assert len(done(asyncio.run(submit()))) == 5


def test_over_http_everybody_gets_their_own_answer(engine: Engine, services: Services) -> None:
    url = asking(services)
    ours, theirs = token(engine, "submit", org="acme"), token(engine, "submit", org="globex")

    def post(n: int) -> Answer:
        org = "globex" if n % 7 == 0 else "acme"
        path = "../x.js" if n % 10 == 0 else f"{n // 2}.js"
        body = {"org_id": org, "app_version_id": "v1", "test_path": path}
        return ask(f"{url}/jobs", theirs if n % 5 == 0 else ours, body)

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(post, range(280)))
    for n, answer in enumerate(answers):
        if n % 10 == 0:
            assert answer.status == 422, n
        elif (n % 7 == 0) != (n % 5 == 0):
            assert (answer.status, answer.body["type"]) == (404, "urn:qgjob:org_exists"), n
        else:
            assert answer.status == 201, (n, answer)
            assert engine.job(answer.body["job_id"]).test_path == f"{n // 2}.js"
    accepted = sum(answer.status == 201 for answer in answers)
    assert engine.value("select count(*) from qgjob.run") == accepted
