"""The engine, called the way workers and submitters call it: by the public signatures of its functions only."""

import threading
import time
from functools import partial
from itertools import count as numbers
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

from bench.lab import Shape
from bench.queues.idle import Consumer, Sample, watch_idle_consumer
from bench.rounds import together

SUBMIT = "select * from qgjob.submit_run(p_org_id => %s, p_app_version_id => %s, p_jobs => %s)"
CLAIM = """
  select lease, install, jobs
  from qgjob.claim_batch(p_worker_id => %s, p_device_id => %s, p_max_jobs => %s)
"""
LOAD = """
  select sum((qgjob.submit_run(p_org_id => 'org' || %(org)s::text, p_app_version_id => 'v' || build, p_jobs => (
    select jsonb_agg(jsonb_build_object('test_path', format('tests/%%s.spec.ts', job)))
    from generate_series(1, %(jobs)s) as job))).total)
  from generate_series(1, %(groups)s) as build
"""
_names = numbers(1)


class Device:
    """A device with its worker, on a connection of its own."""

    def __init__(self, url: str) -> None:
        name = f"bench-{next(_names)}"
        self.connection = psycopg.connect(url, autocommit=True, row_factory=namedtuple_row)
        self.worker_id = self._one(
            "select qgjob.register_worker(p_name => %s, p_version => 'bench', p_targets => '{emulator}',"
            " p_lease_s => 3600)", name)  # fmt: skip
        self.device_id = self._one(
            "select qgjob.register_device(p_worker_id => %s, p_name => %s, p_target => 'emulator')",
            self.worker_id, name)  # fmt: skip

    def claim(self, most: int) -> Any:
        return self.connection.execute(CLAIM, (self.worker_id, self.device_id, most)).fetchone()

    def release(self, lease: int) -> None:
        self.connection.execute("select qgjob.release_batch(p_lease => %s)", (lease,))

    def claim_and_give_back(self, most: int) -> float:
        """Seconds that the claim took. The backlog is as it was."""
        begin = time.perf_counter()
        batch = self.claim(most)
        seconds = time.perf_counter() - begin
        if batch:
            self.release(batch.lease)
        return seconds

    def run(self, batch: Any) -> int:
        """Report every job of the batch as passed; the next claim ends it. The number of jobs that ended."""
        if batch.install:
            self.connection.execute("select qgjob.record_install(p_lease => %s)", (batch.lease,))
        ids = [job["job_id"] for job in batch.jobs]
        results = Jsonb([{"job_id": job_id, "status": "completed"} for job_id in ids])
        try:
            self.connection.execute(
                "select * from qgjob.finish_jobs(p_lease => %s, p_results => %s)", (batch.lease, results))  # fmt: skip
            return len(ids)
        except psycopg.DatabaseError as error:
            if error.sqlstate != "QJ409":
                raise
            self.release(batch.lease)
            return 0  # an idle device has taken back some of them, which count as not started

    def close(self) -> None:
        self.connection.execute("select qgjob.end_worker(p_worker_id => %s)", (self.worker_id,))
        self.connection.close()

    def _one(self, query: str, *args: object) -> Any:
        found = self.connection.execute(query.encode(), args or None).fetchone()
        assert found is not None
        return found[0]


class Ours:
    most_clients = 64
    drained = 40_000
    batch = 100
    groups = 10

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)
        self._builds = numbers(1)
        self._build = ""
        self._pending = 0
        self._devices: list[Device] = []

    def submit(self, count: int) -> float:
        """A run of a build that nobody has submitted before, of three groups."""
        self._build = f"v{next(self._builds)}"
        return self.submit_again(count)

    def submit_again(self, count: int) -> float:
        """The run of the latest build once more: all of its jobs are joined."""
        targets = ("emulator", "device", "browserstack")
        jobs = [{"test_path": f"tests/{n}.spec.ts", "target": targets[n % 3]} for n in range(count)]
        begin = time.perf_counter()
        self._connection.execute(SUBMIT, ("submitter", self._build, Jsonb(jobs)))
        return time.perf_counter() - begin

    def fill(self, jobs: int) -> None:
        """Have at least so many jobs pending, in big groups."""
        while self._pending < jobs:
            each = min(5_000, jobs)
            path = f"tests/{next(self._builds)}/%s.spec.ts"
            self._connection.execute(SUBMIT, (
                "drainer", f"v{self._pending // each % self.groups}",
                Jsonb([{"test_path": path % n} for n in range(each)])))  # fmt: skip
            self._pending += each

    def drain(self, count: int, clients: int, longest_s: float) -> dict[str, float]:
        self.fill(count + clients * self.batch)
        while len(self._devices) < clients:
            self._devices.append(Device(self.url))
        end = time.monotonic() + longest_s
        share = count // clients

        def client(device: Device) -> list[float]:
            sizes: list[float] = []
            while sum(sizes) < share and time.monotonic() < end and (batch := device.claim(self.batch)):
                sizes.append(device.run(batch))
            return sizes

        begin = time.perf_counter()
        sizes = together([partial(client, device) for device in self._devices[:clients]])
        seconds = time.perf_counter() - begin
        self._pending -= int(sum(sizes))
        jobs = sum(sizes)
        return {"jobs": jobs, "jobs/s": jobs / seconds, "jobs per claim": jobs / max(1, len(sizes))}

    def pick_up(self, samples: int) -> list[Sample]:
        with psycopg.connect(self.url, autocommit=True) as listener:
            return watch_idle_consumer(_Waiting(Device(self.url), listener), self._submit_one, samples)

    def close(self) -> None:
        for device in self._devices:
            device.close()
        self._connection.close()

    def _submit_one(self) -> None:
        jobs = Jsonb([{"test_path": f"tests/{next(self._builds)}.spec.ts"}])
        self._connection.execute(SUBMIT, ("picked", "v1", jobs))


class _Waiting(Consumer):
    """Claims as worker/loop.py does: on a hint, and twice, for the first that finds nothing asks for hints."""

    def __init__(self, device: Device, listener: "psycopg.Connection[Any]") -> None:
        self._device = device
        self._listener = listener
        self._listener.execute("listen qgjob_work")
        self._batch: Any = None

    def claim(self) -> bool:
        self._batch = self._device.claim(20) or self._device.claim(20)
        return self._batch is not None

    def finish(self) -> None:
        self._device.run(self._batch)

    def wait(self) -> None:
        for _ in self._listener.notifies(timeout=5, stop_after=1):
            pass

    def close(self) -> None:
        self._device.close()


def load(url: str, shape: Shape, progress: Any = None) -> None:
    """Submit a backlog, a run for every group, from two clients."""
    groups = shape.groups // shape.orgs
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(LOAD, {"org": 1, "jobs": shape.jobs_per_group, "groups": groups})
        connection.execute("analyze")  # or the plans are those of empty tables until autovacuum comes by
    waiting = iter(range(2, shape.orgs + 1))
    lock = threading.Lock()

    def client() -> list[float]:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("set synchronous_commit = off")
            while True:
                with lock:
                    org = next(waiting, None)
                if org is None:
                    return []
                connection.execute(LOAD, {"org": org, "jobs": shape.jobs_per_group, "groups": groups})
                if progress and org % max(1, shape.orgs // 5) == 0:
                    progress(f"  {org * groups * shape.jobs_per_group:,} of {shape.jobs:,} jobs submitted")

    together([client, client])
    settle(url)


def settle(url: str) -> None:
    """What autovacuum would have done a little later, done now, so that it does not fall into a round."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
