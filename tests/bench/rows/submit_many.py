"""One run of 10,000 jobs, from Python's objects to the answer."""

from collections.abc import Callable, Iterator
from functools import partial

from bench.lab import Lab
from bench.queues import EVERY_PEER, opened
from bench.records import Record, record
from bench.rounds import Measured, alternate


def measure(lab: Lab) -> Iterator[Record]:
    count = lab.scale.run_jobs
    with opened(lab, "qgjob", "floor", *EVERY_PEER) as queues:
        contenders = {name: partial(rate, queue.submit, count) for name, queue in queues.items()}
        contenders["floor, jsonb"] = partial(rate, queues["floor"].submit_json, count)
        contenders["again"] = partial(rate, queues["qgjob"].submit_again, count)
        taken = alternate(contenders, lab.scale.rounds)
    ours, again = taken.pop("qgjob")["jobs/s"], taken.pop("again")["jobs/s"]
    peers = {name: quantities["jobs/s"] for name, quantities in taken.items()}
    yield record(
        "submit-many", f"one run of {count:,} jobs", "jobs/s", ours, peers=peers, against="floor, jsonb",
        bar="≥ 50 k jobs/s, ahead of pgqueuer",
        met=lambda value, ratio: value >= 50_000 and value > max(peers.get("pgqueuer", [0])),
        note="floor: COPY",
    )  # fmt: skip
    yield record("submit-many", "the same run again: every job is joined", "jobs/s", again)


def rate(submit: Callable[[int], float], count: int) -> Measured:
    return {"jobs/s": count / submit(count)}
