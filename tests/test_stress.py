"""Many threads do everything at once for some seconds: nothing deadlocks, no rule breaks, and everything ends."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any

import invariants
import psycopg
from engine import Engine
from psycopg.types.json import Jsonb

THREADS = 8
SECONDS = 8.0
ORGS = ("acme", "globex")


def act(url: str, seed: int, until: float) -> tuple[int, list[str]]:
    """A client, a worker of two devices and a housekeeper in one session: its calls, and what should not happen."""
    dice = random.Random(seed)
    calls, wrong = 0, []
    with Engine(url) as engine:
        worker, devices = 0, []
        leases: list[tuple[int, list[int]]] = []

        def register() -> None:
            nonlocal worker, devices
            name = f"worker-{seed}"
            worker = engine.call("register_worker", name=name, version="test", targets=["emulator"], lease_s=1)[0]
            devices = [
                engine.call("register_device", worker_id=worker, name=f"{name}-{n}", target="emulator").device_id
                for n in range(2)
            ]

        def submit() -> None:
            jobs = [{"test_path": f"{n}.js", "retries": dice.randrange(2)} for n in dice.sample(range(12), 4)]
            key = dice.choice([None, f"key-{dice.randrange(50)}"])
            priority = dice.choice(["low", "normal", "high", "urgent"])
            engine.submit(*jobs, org=dice.choice(ORGS), build=dice.choice("12"), idempotency_key=key,
                          defaults={"priority": priority})  # fmt: skip

        def submit_many() -> None:
            submissions: list[dict[str, Any]] = []
            for _ in range(6):
                job = {"test_path": f"{dice.randrange(12)}.js", "priority": dice.choice(["low", "urgent"])}
                key = dice.choice([None, f"key-{dice.randrange(1000)}"])
                submissions.append({"org_id": dice.choice(ORGS), "app_version_id": dice.choice("123"), "job": job,
                                    "idempotency_key": key})  # fmt: skip
            engine.call("submit_jobs", submissions=Jsonb(submissions))

        def claim() -> None:
            batch = engine.call("claim_batch", worker_id=worker, device_id=dice.choice(devices), max_jobs=4)
            if batch:
                leases.append((batch.lease, [job["job_id"] for job in batch.jobs]))
                del leases[:-6]

        def work() -> None:
            if leases:
                lease, jobs = dice.choice(leases)
                if dice.random() < 0.3:
                    engine.call("record_install", lease=lease)
                for job_id in jobs:
                    if engine.start(lease, job_id) == "run" and dice.random() < 0.9:
                        engine.finish(lease, job_id, *dice.choice([("completed", None)] * 3 + [
                            ("failed", "test"), ("failed", "infrastructure")]))  # fmt: skip
                if dice.random() < 0.6:  # else the device's next claim ends it, if all its jobs are done
                    engine.release(
                        lease, dice.choice(["done", "done", "drained", "busy", "unprepared", "unfetched", "refused"])
                    )

        def cancel() -> None:
            last = engine.value("select coalesce(max(run_id), 0) from qgjob.run")
            if dice.random() < 0.5:
                engine.call("cancel_run", run_id=last - dice.randrange(4))
            else:
                engine.call("cancel_job", job_id=engine.value("select coalesce(max(job_id), 0) from qgjob.job"))

        def retry() -> None:
            engine.call("retry_run", run_id=engine.value("select coalesce(max(run_id), 0) from qgjob.run") - 5)

        def message() -> None:
            engine.rows("select pgmq.send('submissions', jsonb_build_object('org_id', 'acme', 'app_version_id', '1', "
                        "'jobs', jsonb_build_array(jsonb_build_object('test_path', %s::text))))",
                        f"{dice.randrange(12)}.js")  # fmt: skip

        def leave() -> None:
            engine.call("end_worker", worker_id=worker)
            register()

        def lapse() -> None:
            engine.rows("update qgjob.batch set expires_at = expires_at - interval '1 hour' where batch_id in ("
                        "select batch_id from qgjob.batch where ended_at is null order by random() limit 2 "
                        "for no key update skip locked) returning 1")  # fmt: skip

        register()

        def start() -> None:
            if leases:
                lease, jobs = dice.choice(leases)
                if jobs:
                    engine.start(lease, dice.choice(jobs))

        def beat() -> None:
            engine.call("heartbeat", worker_id=worker)

        # Not in one transaction with the heartbeat, which locks batches: devices come before those.
        def readmit() -> None:
            engine.call("readmit_device", device_id=dice.choice(devices))

        def quarantine() -> None:
            complaint = dice.choice([None, "no room on it"])
            engine.call("report_health", worker_id=worker, device_id=dice.choice(devices), complaint=complaint)

        def keep() -> None:
            engine.call("housekeep")

        single = [submit, submit, submit_many, submit_many, claim, claim, claim, claim, start, cancel, retry, beat,
                  quarantine, readmit, keep, keep, keep]  # fmt: skip
        several = [work, work, work, work, message, lapse, leave]
        while monotonic() < until:
            calls += 1
            try:
                if dice.random() < 0.05:  # what others wait for longer
                    with engine.connection.transaction(force_rollback=dice.random() < 0.5):
                        dice.choice(single)()
                        engine.rows("select pg_sleep(0.01)")
                else:
                    dice.choice(single + several)()
            except psycopg.Error as error:
                if not (error.sqlstate or "").startswith("QJ4"):
                    wrong.append(str(error))
                if error.diag.constraint_name == "worker_is_alive":
                    register()
    return calls, wrong


def test_nothing_deadlocks_and_everything_ends(engine: Engine) -> None:
    engine.mark("1 hour")
    until = monotonic() + SECONDS
    with ThreadPoolExecutor(THREADS) as pool:
        acted = list(pool.map(lambda seed: act(engine.url, seed, until), range(THREADS)))
    errors = [wrong for _, errors in acted for wrong in errors]
    assert not errors, "\n\n".join(errors)
    assert engine.value("select deadlocks from pg_stat_database where datname = current_database()") == 0
    invariants.assert_all(engine)
    assert sum(calls for calls, _ in acted) > 100

    engine.move_clock(3600)
    while any(engine.call("housekeep")):
        pass
    driver = engine.drive("the last one")
    with suppress(StopIteration):
        while engine.run_all(driver):
            pass
    invariants.assert_all(engine)
    assert engine.value("select count(*) from qgjob.job where finished_at is null") == 0
    assert engine.value("select count(*) from qgjob.run where finished_at is null") == 0
    assert engine.value("select count(*) from pgmq.q_submissions") == 0
    assert engine.value("select count(*) from pgmq.q_dead_letters") == 0
