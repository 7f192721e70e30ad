"""Any sequence of calls, also late, repeated and unfounded ones: no rule breaks at any step, and everything ends."""

from collections.abc import Callable
from typing import Any

import invariants
import psycopg
import pytest
from engine import Driver, Engine
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

PICK = st.integers(0, 1000)
FINAL = "select job_id, status, failure_kind, flaky, attempts, finished_at from qgjob.job where finished_at is not null"
# Named one by one where no foreign key leads there.
EMPTY = """truncate qgjob.org, qgjob.worker, qgjob.crash_marker, qgjob.job, qgjob.run_job, qgjob.attempt
  restart identity cascade"""


WEIGHTS = {"submit": 3, "claim": 6, "start": 2, "finish": 6, "release": 3}
ACTIONS: dict[str, dict[str, Any]] = {}


def called(**arguments: Any) -> Callable[[Any], Any]:
    """One of the actions that a step chooses from. Rules of their own would be switched off in most examples."""

    def register(action: Any) -> Any:
        ACTIONS[action.__name__] = arguments
        return action

    return register


class Calls(RuleBasedStateMachine):
    engine: Engine

    @rule(data=st.data())
    def step(self, data: Any) -> None:
        action = data.draw(st.sampled_from([name for name in ACTIONS for _ in range(WEIGHTS.get(name, 1))]))
        getattr(self, action)(**{name: data.draw(values) for name, values in ACTIONS[action].items()})

    @initialize()
    def begin(self) -> None:
        self.engine.connection.execute(EMPTY.encode())
        self.engine.connection.execute("select set_config('qgjob.now', '', false)")
        self.engine.mark("1 hour")
        self.accepted: set[int] = set()
        self.ended: dict[int, Any] = {}
        self.drivers: list[Driver] = []
        self.leases: list[tuple[int, list[int]]] = []
        self.names = 0
        for _ in range(3):
            self.new_worker()
        for build in ("v1", "v2"):
            self.accepted |= set(self.engine.submit(*"abcd", build=build).job_ids)
        for number in range(2):
            self.claim(number, 3)

    def attempt(self, function: str, **args: Any) -> Any:
        """The answer, or None where the call was refused for a reason of ours."""
        try:
            return self.engine.call(function, **args)
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith("QJ4"):
                raise
            return None

    def new_worker(self) -> None:
        """At most three are asked for work; what earlier ones hold stays in play."""
        self.names += 1
        self.drivers = [*self.drivers[-2:], self.engine.drive(f"phone-{self.names}")]

    def lease(self, pick: int) -> tuple[int, list[int]]:
        """Any lease that was ever given, more often a young one."""
        return self.leases[-1 - min(pick % 7, pick % len(self.leases))]

    @called(paths=st.sets(st.sampled_from("abcdef"), min_size=1, max_size=4), build=st.sampled_from(["v1", "v1", "v2"]),
          org=st.sampled_from(["acme", "acme", "globex"]), retries=st.integers(0, 2), priority=st.integers(0, 3),
          dedupe=st.sampled_from([True, True, False]), key=st.sampled_from([None, None, "k"]))  # fmt: skip
    def submit(
        self, paths: set[str], build: str, org: str, retries: int, priority: int, dedupe: bool, key: str
    ) -> None:
        word = ["low", "normal", "high", "urgent"][priority]
        jobs = [{"test_path": path, "retries": retries, "priority": word, "dedupe": dedupe} for path in sorted(paths)]
        try:
            self.accepted |= set(self.engine.submit(*jobs, build=build, org=org, idempotency_key=key).job_ids)
        except psycopg.Error as error:
            if error.diag.constraint_name != "idempotency_key_is_used_once":
                raise

    @called(pick=PICK, most=st.integers(1, 4))
    def claim(self, pick: int, most: int) -> None:
        driver = self.drivers[pick % len(self.drivers)]
        batch = self.attempt("claim_batch", worker_id=driver.worker_id, device_id=driver.device_id, max_jobs=most)
        if batch:
            self.leases.append((batch.lease, [job["job_id"] for job in batch.jobs]))

    @called(pick=PICK, most=st.integers(1, 2))
    def go_on(self, pick: int, most: int) -> None:
        """The device runs all of its batch, and claims the next without having released it."""
        self.claim(pick, most)
        lease, jobs = self.leases[-1]
        self.attempt("record_install", lease=lease)
        for job_id in jobs:
            self.attempt("start_job", lease=lease, job_id=job_id)
            self.attempt("finish_job", lease=lease, job_id=job_id, status="completed", failure_kind=None)
        self.claim(pick, most)

    @called(pick=PICK)
    def install(self, pick: int) -> None:
        self.attempt("record_install", lease=self.lease(pick)[0])

    @called(pick=PICK, which=PICK)
    def start(self, pick: int, which: int) -> None:
        lease, jobs = self.lease(pick)
        if jobs:
            self.attempt("start_job", lease=lease, job_id=jobs[which % len(jobs)])

    @called(pick=PICK, which=PICK, begin=st.booleans(), outcome=st.sampled_from([
        ("completed", None), ("completed", None), ("failed", "test"), ("failed", "timeout"),
        ("failed", "infrastructure"), ("failed", "infrastructure"), ("cancelled", None)]))  # fmt: skip
    def finish(self, pick: int, which: int, begin: bool, outcome: tuple[str, str | None]) -> None:
        lease, jobs = self.lease(pick)
        if jobs:
            job_id = jobs[which % len(jobs)]
            if begin:
                self.attempt("start_job", lease=lease, job_id=job_id)
            self.attempt("finish_job", lease=lease, job_id=job_id, status=outcome[0], failure_kind=outcome[1])

    @called(
        pick=PICK, reason=st.sampled_from(["done", "done", "drained", "busy", "unprepared", "unfetched", "refused"])
    )
    def release(self, pick: int, reason: str) -> None:
        self.attempt("release_batch", lease=self.lease(pick)[0], reason=reason)

    @called(pick=PICK, which=st.sampled_from(["sick", "well", "quarantine", "readmit"]))
    def health(self, pick: int, which: str) -> None:
        worker_id, device_id = self.drivers[pick % len(self.drivers)]
        if which in ("sick", "well"):
            complaint = "no room on it" if which == "sick" else None
            self.attempt("report_health", worker_id=worker_id, device_id=device_id, complaint=complaint)
        elif which == "quarantine":
            self.attempt("quarantine_device", device_id=device_id, reason="its screen is broken")
        else:
            self.attempt("readmit_device", device_id=device_id)

    @called(pick=PICK)
    def heartbeat(self, pick: int) -> None:
        self.attempt("heartbeat", worker_id=self.drivers[pick % len(self.drivers)].worker_id)

    @called(pick=PICK, reap=st.booleans())
    def expire(self, pick: int, reap: bool) -> None:
        self.engine.expire(self.lease(pick)[0])
        if reap:
            self.engine.call("housekeep")

    @called(pick=PICK, which=PICK, begin=st.booleans(), outcome=st.sampled_from(["completed", "failed"]))
    def come_back_from_the_dead(self, pick: int, which: int, begin: bool, outcome: str) -> None:
        """A lease runs out, its job starts elsewhere, and then the first one reports."""
        lease, jobs = self.lease(pick)
        if not jobs:
            return
        job_id = jobs[which % len(jobs)]
        if begin:
            self.attempt("start_job", lease=lease, job_id=job_id)
        self.expire(pick, True)
        self.claim(which, 4)
        newer, others = self.leases[-1]
        if job_id in others and newer != lease:
            self.attempt("start_job", lease=newer, job_id=job_id)
            kind = "test" if outcome == "failed" else None
            written = self.attempt("finish_job", lease=lease, job_id=job_id, status=outcome, failure_kind=kind)
            assert not (written and written.recorded), "a lease that ran out has written"

    @called(pick=PICK)
    def cancel_job(self, pick: int) -> None:
        self.attempt("cancel_job", job_id=sorted(self.accepted)[pick % len(self.accepted)])

    @called(pick=PICK)
    def cancel_run(self, pick: int) -> None:
        last = self.engine.value("select max(run_id) from qgjob.run")
        self.attempt("cancel_run", run_id=1 + pick % last)

    @called(pick=PICK)
    def retry(self, pick: int) -> None:
        if self.ended:
            answer = self.attempt("retry_job", job_id=sorted(self.ended)[pick % len(self.ended)])
            assert answer, "what has ended can be retried"
            self.accepted.add(answer.job_id)

    @called(pick=PICK)
    def leave(self, pick: int) -> None:
        driver = self.drivers[pick % len(self.drivers)]
        self.attempt("end_worker", worker_id=driver.worker_id)
        self.new_worker()

    @called(pick=PICK)
    def take_over(self, pick: int) -> None:
        """Another worker takes the device of one that is no longer heard of."""
        driver = self.drivers[pick % len(self.drivers)]
        self.engine.rows(
            "update qgjob.worker set seen_at = seen_at - interval '10 min' where worker_id = %s returning 1",
            driver.worker_id,
        )
        name = self.engine.value("select name from qgjob.device where device_id = %s", driver.device_id)
        self.drivers[pick % len(self.drivers)] = self.engine.drive(name)

    @called()
    def crash(self) -> None:
        self.engine.connection.execute("delete from qgjob.crash_marker")

    @called(pick=PICK)
    def drain(self, pick: int) -> None:
        self.attempt("drain_worker", worker_id=self.drivers[pick % len(self.drivers)].worker_id)
        self.new_worker()

    @invariant()
    def no_rule_is_broken(self) -> None:
        if not hasattr(self, "accepted"):
            return
        invariants.assert_all(self.engine)
        stored = {job_id for (job_id,) in self.engine.rows("select job_id from qgjob.job")}
        assert self.accepted <= stored, "an accepted job is never lost"
        ended = {row.job_id: row for row in self.engine.rows(FINAL)}
        assert self.ended.items() <= ended.items(), "what has ended never changes"
        self.ended = ended

    def teardown(self) -> None:
        if not hasattr(self, "accepted"):
            return
        self.engine.mark("1 hour")
        self.engine.rows(
            "update qgjob.batch set expires_at = qgjob.now() - interval '1 hour' where ended_at is null returning 1"
        )
        self.engine.rows("update qgjob.worker set seen_at = seen_at - interval '1 hour', lease_s = 1 returning 1")
        self.engine.call("housekeep")
        self.engine.run_all(self.engine.drive("the last one"))
        self.no_rule_is_broken()
        assert set(self.ended) >= self.accepted, "every accepted job ends"
        assert self.engine.value("select count(*) from qgjob.run where finished_at is null") == 0


@pytest.fixture
def calls(engine: Engine) -> type[Calls]:
    return type("CallsHere", (Calls,), {"engine": engine})


def test_no_sequence_of_calls_breaks_a_rule(calls: type[Calls]) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        calls,
        settings=settings(
            max_examples=120,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
