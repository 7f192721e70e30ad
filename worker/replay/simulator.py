"""The workload through the real SQL functions: virtual devices claim, install and run as workers do."""

import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from psycopg.types.json import Jsonb

from qgjob.models.submission import RunSubmitted
from qgjob.models.words import Target
from qgjob.models.work import Decision, DeviceRegistered, Heartbeat, Recorded, Registered
from sql.virtual_time import VirtualTime
from worker.batch import Batch
from worker.replay.schedule import Fleet, Schedule, Stay
from worker.replay.workload import Spec, Submission, Workload

LEASE_S = 3600
BEAT_S = 1200.0
MAX_JOBS = 20  # as workers ask for unless told otherwise
# What an idle worker does while hints are heard. Hints themselves come at once here.
POLL_S = 5.0
# This much virtual time with work pending, every device idle and nothing else to come: the scheduler is stuck.
STUCK_S = 7200.0

EventKind = Literal["arrival", "installed", "start", "end", "beat", "poll"]


class Wrong(Exception):
    """The SQL functions broke a promise. The message says which."""


@dataclass
class Device:
    """`asked` says that it has claimed since it became idle, so the database knows that it waits."""

    name: str
    device_id: int
    asked: bool = False


@dataclass
class Held:
    """A batch on a device: the ids of its jobs that have not ended, and how many have."""

    batch: Batch
    claimed_s: float
    left: list[int]
    done: int = 0

    @property
    def lease(self) -> int:
        return self.batch.lease

    @property
    def job_id(self) -> int:
        return self.left[0]


@dataclass
class Progress:
    """Of one workload. `of_job` leads from a job to its submission and test."""

    schedule: Schedule
    of_job: dict[int, tuple[int, Spec]] = field(default_factory=dict[int, tuple[int, Spec]])
    finished: set[int] = field(default_factory=set[int])
    arrived: int = 0
    pending: set[int] = field(default_factory=set[int])


class Simulator:
    """Devices that live through several workloads, one after the other. Everything is decided in the database."""

    def __init__(self, time: VirtualTime, used: list[Target], fleet: Fleet) -> None:
        self._time = time
        self._fleet = fleet
        self._order = count()
        self._held: dict[int, Held] = {}
        self._events: list[tuple[float, int, EventKind, int]] = []
        self.now_s = 0.0
        self._worker_id = time.one(
            Registered, "register_worker", name="replay", version="replay", targets=used, lease_s=LEASE_S
        ).worker_id
        self._devices = [self._register(f"{target}-{number}", target) for target in used
                         for number in range(1, fleet.devices + 1)]  # fmt: skip

    def _register(self, name: str, target: Target) -> Device:
        found = self._time.one(DeviceRegistered, "register_device", worker_id=self._worker_id, name=name, target=target)
        return Device(name, found.device_id)

    def run(self, workload: Workload) -> Schedule:
        """Until the last test has ended, and each device knows it: one may be installing for tests that others have
        taken back. Times in the schedule count from now. Raises Wrong."""
        began_s = self.now_s
        progress = Progress(Schedule([0.0] * len(workload)))
        self._events.clear()
        for place, submission in enumerate(workload):
            self._plan(began_s + submission.at_s, "arrival", place)
        self._plan(began_s, "beat")
        last_s = began_s
        while progress.arrived < len(workload) or len(progress.finished) < len(progress.of_job) or self._held:
            kinds = self._next_moment(workload, progress, began_s)
            if kinds & {"arrival", "installed", "start", "end"}:
                last_s = self.now_s
            elif self.now_s > last_s + STUCK_S and progress.pending and not self._held:
                raise Wrong(f"{len(progress.pending)} jobs stay pending although every device is idle")
            if kinds & {"arrival", "end", "poll"}:
                self._claim(progress)
        return progress.schedule

    def _plan(self, at_s: float, kind: EventKind, place: int = 0) -> None:
        heapq.heappush(self._events, (round(at_s, 6), next(self._order), kind, place))

    def _next_moment(self, workload: Workload, progress: Progress, began_s: float) -> set[EventKind]:
        """Everything that happens at one time, before anybody claims."""
        self.now_s = self._events[0][0]
        self._time.set_clock(self.now_s)
        kinds: set[EventKind] = set()
        while self._events and self._events[0][0] == self.now_s:
            _, _, kind, place = heapq.heappop(self._events)
            kinds.add(kind)
            match kind:
                case "arrival":
                    self._submit(workload[place], place, progress)
                case "installed":
                    self._time.call("record_install", lease=self._held[place].lease)
                    self._start(place, progress, began_s)
                case "start":
                    self._start(place, progress, began_s)
                case "end":
                    self._end(place, progress, began_s)
                case "beat":
                    self._beat()
                case "poll":
                    pass
        return kinds

    def _submit(self, submission: Submission, place: int, progress: Progress) -> None:
        jobs = [{"test_path": t.path, "target": t.target, "priority": t.priority} for t in submission.tests]
        found = self._time.one(
            RunSubmitted,
            "submit_run",
            org_id=submission.org_id,
            app_version_id=submission.app_version_id,
            jobs=Jsonb(jobs),
            defaults=Jsonb({"dedupe": False}),
        )
        if len(found.job_ids) != len(jobs):
            raise Wrong(f"{len(jobs)} tests were submitted and {len(found.job_ids)} jobs accepted")
        for job_id, test in zip(found.job_ids, submission.tests, strict=True):
            progress.of_job[job_id] = place, test
        progress.arrived += 1
        progress.pending.update(found.job_ids)

    def _claim(self, progress: Progress) -> None:
        """Idle devices ask; those that know that nothing is to be had do not ask twice."""
        wanted = bool(progress.pending) or any(len(held.left) > 1 for held in self._held.values())
        for place, device in enumerate(self._devices):
            if place in self._held or (device.asked and not wanted):
                continue
            device.asked = True
            for batch in self._time.many(
                Batch, "claim_batch", worker_id=self._worker_id, device_id=device.device_id, max_jobs=MAX_JOBS
            ):
                if any(job.test_path != progress.of_job[job.job_id][1].path for job in batch.jobs):
                    raise Wrong(f"batch {batch.lease} holds a job under another test_path than was submitted")
                progress.pending.difference_update(job.job_id for job in batch.jobs)
                device.asked = False
                self._held[place] = Held(batch, self.now_s, [job.job_id for job in batch.jobs])
                prepare_s = self._fleet.install_s if batch.install else self._fleet.reset_s
                self._plan(self.now_s + prepare_s, "installed" if batch.install else "start", place)
        somebody_waits = wanted and len(self._held) < len(self._devices)
        if somebody_waits and not any(event[2] == "poll" for event in self._events):
            self._plan(self.now_s + POLL_S, "poll")

    def _start(self, place: int, progress: Progress, began_s: float) -> None:
        held = self._held[place]
        found = self._time.one(Decision, "start_job", lease=held.lease, job_id=held.job_id)
        if found.decision != "run":  # an idle device has taken it back
            elsewhere = any(held.job_id in other.left for other in self._held.values() if other is not held)
            if not elsewhere and held.job_id not in progress.finished:
                raise Wrong(f"job {held.job_id} was to be skipped, and nobody else has it")
            self._go_on(place, progress, began_s, after_s=0)
            return
        self._plan(self.now_s + progress.of_job[held.job_id][1].duration_s, "end", place)

    def _end(self, place: int, progress: Progress, began_s: float) -> None:
        held = self._held[place]
        job_id = held.job_id
        found = self._time.one(Recorded, "finish_job", lease=held.lease, job_id=job_id, status="completed")
        if job_id in progress.finished or found != Recorded("completed", True):
            raise Wrong(f"job {job_id} did not finish exactly once: {found}")
        progress.finished.add(job_id)
        progress.schedule.ends_s[progress.of_job[job_id][0]] = self.now_s - began_s
        held.done += 1
        self._go_on(place, progress, began_s, after_s=self._fleet.reset_s)

    def _go_on(self, place: int, progress: Progress, began_s: float, *, after_s: float) -> None:
        """With the next job of the batch, or without it."""
        held = self._held[place]
        held.left.pop(0)
        if held.left:
            self._plan(self.now_s + after_s, "start", place)
            return
        del self._held[place]
        batch, name = held.batch, self._devices[place].name
        group = batch.org_id, batch.app_version_id
        times = held.claimed_s - began_s, self.now_s - began_s
        progress.schedule.stays.append(Stay(name, *group, batch.install, held.done, *times))

    def _beat(self) -> None:
        found = self._time.one(Heartbeat, "heartbeat", worker_id=self._worker_id)
        if not {held.lease for held in self._held.values()} <= set(found.leases):
            raise Wrong("a heartbeat did not renew every lease")
        self._plan(self.now_s + BEAT_S, "beat")
