"""From the answer to a submission until an idle device has claimed it, woken by a hint."""

from collections.abc import Callable, Iterator
from functools import partial

from bench.lab import Lab
from bench.queues import EVERY_PEER, Queue, opened
from bench.queues.idle import in_ms
from bench.records import Record, record
from bench.rounds import Measured, alternate

WANTED = (
    ("p50", "p50 from the answer", 4.0),
    ("p99", "p99 from the answer", 20.0),
    ("called p50", "p50 from the call, with the submission itself", None),
)


def measure(lab: Lab) -> Iterator[Record]:
    with opened(lab, "qgjob", "floor", *EVERY_PEER) as queues:
        taken = alternate(
            {name: partial(picked_up, queue, lab.scale.pick_ups) for name, queue in queues.items()},
            lab.scale.rounds, warm_up=False,
        )  # fmt: skip
    ours = taken.pop("qgjob")
    for quantity, name, most in WANTED:
        yield record(
            "pick-up", name, "ms", ours[quantity],
            peers={name: quantities[quantity] for name, quantities in taken.items()}, against="floor",
            bar=f"≤ {most:g} ms" if most else "", met=below(most) if most else None,
        )  # fmt: skip


def picked_up(queue: Queue, samples: int) -> Measured:
    return in_ms(queue.pick_up(samples))


def below(most: float) -> Callable[[float, float], bool]:
    return lambda value, ratio: value <= most
