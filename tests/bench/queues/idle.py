"""How pick-up is taken: an idle consumer in a thread, a submission after a pause of random length, again."""

import random
import threading
import time
from collections.abc import Callable
from typing import Protocol


class Consumer(Protocol):
    def claim(self) -> bool:
        """Whether there was work."""

    def finish(self) -> None: ...

    def wait(self) -> None:
        """Until a hint comes, or a few seconds."""

    def close(self) -> None: ...


def pause_s() -> float:
    return random.uniform(0.005, 0.025)


def watch_idle_consumer(consumer: Consumer, submit: Callable[[], object], samples: int) -> list[float]:
    """Seconds from the answer to each submission until the claim has answered; the first five warm up."""
    idle, arrived, stop = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    claimed: list[float] = []

    def consume() -> None:
        while not stop.is_set():
            if consumer.claim():
                claimed.append(time.perf_counter())
                arrived.release()
                consumer.finish()
            else:
                idle.release()
                consumer.wait()

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    taken: list[float] = []
    try:
        for _ in range(samples + 5):
            idle.acquire(timeout=10)
            time.sleep(pause_s())
            submit()
            submitted = time.perf_counter()
            if not arrived.acquire(timeout=10):
                raise RuntimeError("a submission was not picked up within ten seconds")
            taken.append(max(0.0, claimed[-1] - submitted))
    finally:
        stop.set()
        submit()  # wakes the consumer so that it sees the end
        thread.join(15)
        consumer.close()
    return taken[5:]
