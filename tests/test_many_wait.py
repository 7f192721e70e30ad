"""Hundreds wait at one API process: all are told, also when the connection that announces is cut in between."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import events
import httpx
import pytest
from engine import Engine
from processes import Services

from qgjob.children import wait_until

CLIENTS = 300
LISTENING = "from pg_stat_activity where datname = current_database() and query = 'listen \"qgjob_worker\"'"


async def streamed(http: httpx.AsyncClient, path: str) -> Any:
    """Every state in order, and the last of them; a cut connection goes on from the last event."""
    seen: list[int] = [-1]
    while True:
        try:
            async for event in events.events(http, f"{path}/events", seen[-1]):
                if event.name:
                    assert event.id == event.data["seq"] > seen[-1]
                    seen.append(event.id)
                    if event.data["finished_at"]:
                        return event.data
        except httpx.TransportError:
            pass


def waiting(engine: Engine) -> int:
    return int(engine.value("select count(*) from qgjob.run where watched_until is not null"))


@pytest.mark.parametrize("wait", [events.ended, streamed], ids=["long-poll", "events"])
def test_all_are_told_though_the_announcements_are_cut(
    engine: Engine, services: Services, wait: Callable[[httpx.AsyncClient, str], Coroutine[Any, Any, Any]]
) -> None:
    url = services.api()
    runs = [engine.submit(f"{number}.js", f"{number}-later.js", build=f"v{number % 7}") for number in range(30)]
    device = engine.drive()

    async def scenario() -> list[Any]:
        async with events.client(url) as http, asyncio.TaskGroup() as group:
            told = [group.create_task(wait(http, f"/runs/{runs[number % 30].run_id}")) for number in range(CLIENTS)]
            assert await asyncio.to_thread(wait_until, lambda: waiting(engine) == 30, 30)
            await asyncio.to_thread(cut_while_running)
        return [task.result() for task in told]

    def cut_while_running() -> None:
        cut = 0
        while batch := engine.claim(device, max_jobs=5):
            if cut < 3:
                assert wait_until(lambda: engine.value(f"select count(*) {LISTENING}") == 1, 30)
                cut += engine.value(f"select count(*) filter (where pg_terminate_backend(pid)) {LISTENING}")
            for job in batch.jobs:
                engine.run_job(batch.lease, job["job_id"])
            engine.release(batch.lease)
        assert cut == 3

    told = asyncio.run(scenario())
    assert {run["run_id"]: run["completed"] for run in told} == {run.run_id: 2 for run in runs}
    assert {run["status"] for run in told} == {"completed"}


def test_who_waits_for_jobs_is_told_too(engine: Engine, services: Services) -> None:
    """Also where the run that submitted the job first has gone, and another one waits for it."""
    url = services.api()
    first, second = engine.submit("a.js"), engine.submit("a.js")
    (job_id,) = first.job_ids
    assert list(second.job_ids) == [job_id]
    engine.call("cancel_run", run_id=first.run_id)

    async def scenario() -> list[Any]:
        async with events.client(url) as http, asyncio.TaskGroup() as group:
            told = [
                group.create_task(events.ended(http, f"/jobs/{job_id}")),
                group.create_task(streamed(http, f"/jobs/{job_id}")),
            ]
            assert await asyncio.to_thread(wait_until, lambda: waiting(engine) == 1, 30)
            engine.run_all(engine.drive())
        return [task.result() for task in told]

    told = asyncio.run(scenario())
    assert [job["status"] for job in told] == ["completed"] * 2
    assert told[0]["seq"] == told[1]["seq"] == services.get(f"/jobs/{job_id}")["seq"]


async def read(url: str, path: str, last: int | None = None) -> list[events.Event]:
    async with events.client(url) as http:
        return [event async for event in events.events(http, path, last)]


def test_events_end_with_the_last_state_and_resume_after_it(engine: Engine, services: Services) -> None:
    url = services.api()
    run = engine.submit("a.js")
    engine.run_all(engine.drive())
    seq = engine.run(run.run_id).seq
    (event,) = asyncio.run(read(url, f"/runs/{run.run_id}/events"))
    assert (event.name, event.id, event.data) == ("run", seq, services.get(f"/runs/{run.run_id}"))
    (event,) = asyncio.run(read(url, f"/runs/{run.run_id}/events", int(seq) - 1))
    assert event.id == seq
    (event,) = asyncio.run(read(url, f"/jobs/{run.job_ids[0]}/events"))
    assert (event.name, event.data) == ("job", services.get(f"/jobs/{run.job_ids[0]}"))
    # No content is what tells a browser not to connect again.
    seen = httpx.get(f"{url}/runs/{run.run_id}/events", headers={"Last-Event-ID": str(seq)}, trust_env=False)
    assert (seen.status_code, seen.content) == (204, b"")


@pytest.mark.parametrize(
    ("path", "last", "status", "kind"),
    [
        ("/runs/9/events", None, 404, "run_exists"),
        ("/jobs/9/events", None, 404, "job_exists"),
        ("/runs/9?wait=5", None, 404, "run_exists"),
        ("/jobs/9?wait=5", None, 404, "job_exists"),
        ("/runs/1/events", "x", 422, "request_is_well_formed"),
        ("/jobs/1?wait=61", None, 422, "request_is_well_formed"),
        ("/jobs/1?after_seq=-2", None, 422, "request_is_well_formed"),
    ],
)
def test_what_cannot_be_waited_for_is_refused(
    engine: Engine, services: Services, path: str, last: str | None, status: int, kind: str
) -> None:
    url = services.api()
    engine.submit("a.js")
    answer = httpx.get(url + path, headers={"Last-Event-ID": last} if last else {}, trust_env=False)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:qgjob:{kind}")


def test_an_api_that_is_told_to_leave_answers_who_waits(engine: Engine, services: Services) -> None:
    """A rolling deploy does not wait for them, and they lose nothing: the next replica goes on from their seq."""
    url = services.api()
    polled, streamed = engine.submit("a.js").run_id, engine.submit("b.js").run_id
    seq = services.get(f"/runs/{polled}")["seq"]

    async def scenario() -> tuple[Any, list[events.Event]]:
        async with events.client(url) as http, asyncio.TaskGroup() as group:
            answer = group.create_task(http.get(f"/runs/{polled}", params={"wait": 60, "after_seq": seq}))
            stream = group.create_task(collected(events.events(http, f"/runs/{streamed}/events", seq)))
            assert await asyncio.to_thread(wait_until, lambda: waiting(engine) == 2, 30)
            await asyncio.to_thread(services.stop, "api")
        return answer.result().json(), stream.result()

    answer, told = asyncio.run(scenario())
    assert (answer["seq"], told) == (seq, [])


async def collected(found: AsyncGenerator[events.Event]) -> list[events.Event]:
    return [event async for event in found]
