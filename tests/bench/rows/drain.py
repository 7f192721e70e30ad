"""Claim and finish no-op jobs in batches, results per job, leases and history on, against those that do less."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import median

from bench.lab import Lab
from bench.queues import EVERY_PEER, Queue, opened
from bench.records import Record, record
from bench.rounds import Measured, alternate

PYTHON_PEERS = ("pgqueuer", "procrastinate")


def measure(lab: Lab) -> Iterator[Record]:
    scale = lab.scale
    with opened(lab, "qgjob", "floor", *EVERY_PEER) as queues:
        for clients in scale.drain_clients:
            able = {name: queue for name, queue in queues.items() if clients <= queue.most_clients}
            taken = alternate({name: partial(drain, lab, name, able[name], clients) for name in able}, scale.rounds)
            ours = taken.pop("qgjob")
            peers = {name: quantities["jobs/s"] for name, quantities in taken.items()}
            judged = clients == 1
            yield record(
                "drain", f"claim + finish, {clients} clients", "jobs/s", ours["jobs/s"], peers=peers, against="floor",
                bar="≥ 0.5 of the floor, ahead of Python peers" if judged else "",
                met=far_enough(peers) if judged else None, note=f"{ours['jobs per claim'][-1]:.0f} jobs a claim",
            )  # fmt: skip


def drain(lab: Lab, name: str, queue: Queue, clients: int) -> Measured:
    lab.say(f"  {name}, {clients} clients")
    return queue.drain(max(clients, int(lab.scale.drained * queue.drained)), clients, lab.scale.longest_s)


def far_enough(peers: Mapping[str, Sequence[float]]) -> Callable[[float, float], bool]:
    fastest = max((median(peers[name]) for name in PYTHON_PEERS if name in peers), default=0.0)
    return lambda value, ratio: ratio >= 0.5 and value > fastest
