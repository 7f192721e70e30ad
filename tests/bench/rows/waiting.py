"""Many clients wait for runs at one API process: what it costs while nothing happens, and until the last is told."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psycopg
from processes import Services

from bench.lab import Lab
from bench.records import Record, record
from bench.rounds import Measured, alternate
from bench.rows.over_http import services

RUNS = 20
BY_PROCESS = Path("/proc/self/stat").exists()
Client = Callable[[str, int, asyncio.Semaphore], Awaitable[None]]


def measure(lab: Lab) -> Iterator[Record]:
    with lab.database("waiting", migrated=True) as url, services(url) as running:
        running.api()
        taken = alternate(
            {name: partial(waited, running, client, lab) for name, client in (("long-poll", polls), ("events", reads))},
            lab.scale.rounds,
            warm_up=False,
        )
    for name, quantities in taken.items():
        what = f"{lab.scale.waiting:,} clients on {RUNS} runs by {name}"
        if BY_PROCESS:
            yield record("waiting", f"{what}: CPU of the API while idle", "%", quantities["idle"], bar="< 5 %",
                         met=lambda value, _: value < 5)  # fmt: skip
        yield record("waiting", f"{what}: from the end until the last is told", "s", quantities["told"], bar="≤ 1 s",
                     met=lambda value, _: value <= 1)  # fmt: skip


def waited(running: Services, client: Client, lab: Lab) -> Measured:
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        runs = [submitted(connection) for _ in range(RUNS)]
        return asyncio.run(_waited(running, client, lab, connection, runs))


def submitted(connection: psycopg.Connection) -> int:
    row = connection.execute(
        "select run_id from qgjob.submit_run(p_org_id => 'acme', p_app_version_id => 'v1', "
        "p_jobs => jsonb_build_array(jsonb_build_object('test_path', format('tests/%s.js', random()))))"
    ).fetchone()
    assert row
    return int(row[0])


async def _waited(
    running: Services, client: Client, lab: Lab, connection: psycopg.Connection, runs: list[int]
) -> Measured:
    connected = asyncio.Semaphore(0)
    pid = running.pid("api")
    async with asyncio.TaskGroup() as group:
        for number in range(lab.scale.waiting):
            group.create_task(client(running.url, runs[number % RUNS], connected))
            if number % 50 == 49:
                await asyncio.sleep(0.05)
        for _ in range(lab.scale.waiting):
            await connected.acquire()
        await asyncio.sleep(lab.scale.idle_s / 10)
        used, since = cpu_s(pid), time.perf_counter()
        await asyncio.sleep(lab.scale.idle_s)
        idle = 100 * (cpu_s(pid) - used) / (time.perf_counter() - since)
        await asyncio.to_thread(end, connection, runs)
        ended = time.perf_counter()
    return {"idle": idle, "told": time.perf_counter() - ended}


def end(connection: psycopg.Connection, runs: list[int]) -> None:
    with connection.transaction():
        connection.execute("select qgjob.cancel_run(run_id) from unnest(%s::bigint[]) as run_id", (runs,))


def cpu_s(pid: int) -> float:
    if not BY_PROCESS:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def polls(url: str, run_id: int, connected: asyncio.Semaphore) -> None:
    """Ask again and again on one connection, as the command line does."""
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    seq, wait = -1, 0
    try:
        while True:
            writer.write(f"GET /runs/{run_id}?wait={wait}&after_seq={seq} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
            run = msgspec.json.decode(await reader.readexactly(length))
            if not wait:
                connected.release()
            if run["finished_at"]:
                return
            seq, wait = run["seq"], 25
    finally:
        writer.close()


async def reads(url: str, run_id: int, connected: asyncio.Semaphore) -> None:
    """One stream of events."""
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    try:
        writer.write(f"GET /runs/{run_id}/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
        events = 0
        with suppress(asyncio.IncompleteReadError):
            while True:
                line = await reader.readuntil(b"\n")
                if line.startswith(b"data: "):
                    events += 1
                    if events == 1:
                        connected.release()
                    if b'"finished_at":null' not in line:
                        return
    finally:
        writer.close()
