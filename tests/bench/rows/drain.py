"""Claim and finish no-op jobs in batches, results per job, leases and history on, against those that do less."""

from collections.abc import Iterator

from bench.lab import Lab
from bench.queues import EVERY_PEER, Queue, opened
from bench.records import Record, record
from bench.rounds import Measured, alternate

PYTHON_PEERS = ("pgqueuer", "procrastinate")


def measure(lab: Lab) -> Iterator[Record]:
    scale = lab.scale
    with opened(lab, "qgjob", "floor", *EVERY_PEER) as queues:
        for clients in scale.drain_clients:

            def drain(name: str, queue: Queue, clients: int = clients) -> Measured:
                lab.say(f"  {name}, {clients} clients")
                return queue.drain(max(clients, int(scale.drained * queue.drained)), clients, scale.longest_s)

            taken = alternate(
                {name: lambda name=name, queue=queue: drain(name, queue)
                 for name, queue in queues.items() if clients <= queue.most_clients},
                scale.rounds,
            )  # fmt: skip
            ours = taken.pop("qgjob")
            peers = {name: quantities["jobs/s"] for name, quantities in taken.items()}
            fastest = max((max(rates) for name, rates in peers.items() if name in PYTHON_PEERS), default=0.0)
            judged = clients == 1
            yield record(
                "drain", f"claim + finish, {clients} clients", "jobs/s", ours["jobs/s"], peers=peers, against="floor",
                bar="≥ 0.5 of the floor, ahead of Python peers" if judged else "",
                met=(lambda value, ratio, fastest=fastest: ratio >= 0.5 and value > fastest) if judged else None,
                note=f"{ours['jobs per claim'][-1]:.0f} jobs a claim",
            )  # fmt: skip
