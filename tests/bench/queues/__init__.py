"""The contenders: the engine, a hand-written floor that does as little as possible, and the peers."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from bench.lab import Lab
from bench.queues.idle import Sample

EVERY_PEER = {"pgmq": "pgmq", "pgqueuer": "pgqueuer", "procrastinate": "procrastinate"}
CLASSES = {"qgjob": ("ours", "Ours"), "floor": ("floor", "Floor"), "pgmq": ("pgmq", "Pgmq"),
           "pgqueuer": ("pgqueuer", "PgQueuer"), "procrastinate": ("procrastinate", "Procrastinate")}  # fmt: skip


class Queue(Protocol):
    """`most_clients`: of a peer whose one process drives everything, 1. `drained`: jobs that last it a few seconds."""

    most_clients: int
    drained: int

    def submit(self, count: int) -> float:
        """Enqueue so many jobs in one call; seconds."""

    def drain(self, count: int, clients: int, longest_s: float) -> dict[str, float]:
        """Fill up, then claim and finish so many no-op jobs: jobs per second, and what else is worth telling."""

    def pick_up(self, samples: int) -> list[Sample]:
        """How long submissions wait for an idle consumer to claim them."""

    def close(self) -> None: ...


def installed_peers() -> tuple[str, ...]:
    return tuple(name for name, package in EVERY_PEER.items() if find_spec(package))


@contextmanager
def opened(lab: Lab, *names: str) -> Iterator[dict[str, Any]]:
    """The contenders of these names that are there, each in a database of its own."""
    name, *others = names
    if name in EVERY_PEER and name not in lab.peers:
        with _rest(lab, others) as queues:
            yield queues
        return
    with lab.database(f"queue_{name}", migrated=name in ("qgjob", "pgmq")) as url:
        module, kind = CLASSES[name]
        queue: Queue = getattr(import_module(f"bench.queues.{module}"), kind)(url)
        try:
            with _rest(lab, others) as queues:
                yield {name: queue, **queues}
        finally:
            queue.close()


@contextmanager
def _rest(lab: Lab, names: list[str]) -> Iterator[dict[str, Any]]:
    if names:
        with opened(lab, *names) as queues:
            yield queues
    else:
        yield {}
