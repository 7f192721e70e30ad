"""From the answer to a submission until an idle device has claimed it, woken by a hint."""

from collections.abc import Iterator

from bench.lab import Lab
from bench.queues import EVERY_PEER, opened
from bench.records import Record, record
from bench.rounds import alternate, in_ms

MOST = {"p50": 4.0, "p99": 20.0}


def measure(lab: Lab) -> Iterator[Record]:
    with opened(lab, "qgjob", "floor", *EVERY_PEER) as queues:
        taken = alternate(
            {name: lambda queue=queue: in_ms(queue.pick_up(lab.scale.pick_ups)) for name, queue in queues.items()},
            lab.scale.rounds, warm_up=False,
        )  # fmt: skip
    ours = taken.pop("qgjob")
    for quantity, most in MOST.items():
        yield record(
            "pick-up", f"{quantity}, idle device", "ms", ours[quantity],
            peers={name: quantities[quantity] for name, quantities in taken.items()}, against="floor",
            bar=f"≤ {most:g} ms", met=lambda value, ratio, most=most: value <= most,
        )  # fmt: skip
