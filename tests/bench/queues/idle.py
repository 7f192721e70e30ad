"""How pick-up is taken: an idle consumer in a thread, a submission after a pause of random length, again."""

import random
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from bench import rounds
from bench.rounds import percentile


class Consumer(Protocol):
    def claim(self) -> bool:
        """Whether there was work."""

    def finish(self) -> None: ...

    def wait(self) -> None:
        """Until a hint comes, or a few seconds."""

    def close(self) -> None: ...


class Sample(NamedTuple):
    """Seconds until the claim has answered: after the submission was, and after it was sent."""

    answered: float
    called: float


def in_ms(samples: list[Sample]) -> dict[str, float]:
    after_call = percentile([sample.called for sample in samples], 0.5)
    return rounds.in_ms([sample.answered for sample in samples]) | {"called p50": 1000 * after_call}


def pause_s() -> float:
    return random.uniform(0.005, 0.025)


def watch_idle_consumer(consumer: Consumer, submit: Callable[[], object], samples: int) -> list[Sample]:
    """A sample a submission; the first five warm up."""
    idle, arrived, stop = threading.Event(), threading.Event(), threading.Event()
    claimed_at = 0.0

    def consume() -> None:
        nonlocal claimed_at
        while not stop.is_set():
            if consumer.claim():
                claimed_at = time.perf_counter()
                arrived.set()
                consumer.finish()
            else:
                idle.set()
                consumer.wait()

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    taken: list[Sample] = []
    try:
        for _ in range(samples + 5):
            if not idle.wait(10):
                raise RuntimeError("the consumer was not idle within ten seconds")
            time.sleep(pause_s())
            idle.clear()
            arrived.clear()
            called = time.perf_counter()
            submit()
            answered = time.perf_counter()
            if not arrived.wait(10):
                raise RuntimeError("a submission was not picked up within ten seconds")
            taken.append(Sample(max(0.0, claimed_at - answered), claimed_at - called))
    finally:
        stop.set()
        submit()  # wakes the consumer so that it sees the end
        thread.join(15)
        consumer.close()
    return taken[5:]
