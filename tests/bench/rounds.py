"""How time is taken: alternating rounds, closed and open loops, clients as threads; pgbench where Python is slow."""

import math
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qgjob import postgres

Measured = Mapping[str, float]
Rounds = dict[str, dict[str, list[float]]]


def alternate(contenders: Mapping[str, Callable[[], Measured]], rounds: int, *, warm_up: bool = True) -> Rounds:
    """A B A B …: contender → quantity → one value a round. The first round warms up and is thrown away."""
    taken: Rounds = {name: {} for name in contenders}
    for number in range(-1 if warm_up else 0, rounds):
        for name, contender in contenders.items():
            for quantity, value in contender().items():
                if number >= 0:
                    taken[name].setdefault(quantity, []).append(value)
    return taken


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def in_ms(seconds: Sequence[float]) -> dict[str, float]:
    return {"p50": 1000 * percentile(seconds, 0.5), "p99": 1000 * percentile(seconds, 0.99)}


def together(clients: Sequence[Callable[[], list[float]]]) -> list[float]:
    """Run the clients at the same time, each in a thread; all they return, in one list."""
    barrier = threading.Barrier(len(clients))

    def run(client: Callable[[], list[float]]) -> list[float]:
        barrier.wait()
        return client()

    with ThreadPoolExecutor(len(clients)) as pool:
        return [value for values in pool.map(run, clients) for value in values]


def closed_loop(step: Callable[[], float], times: int, longest_s: float) -> list[float]:
    """Again as soon as the last one has ended: so many times, or until the time is over, but at least once."""
    end = time.monotonic() + longest_s
    taken = [step()]
    while len(taken) < times and time.monotonic() < end:
        taken.append(step())
    return taken


def open_loop(step: Callable[[], object], rate: float, times: int, offset: float, longest_s: float) -> list[float]:
    """At a fixed rate whether or not the last one has ended, so that a stall counts for all that waited behind it."""
    begin = time.perf_counter() + offset / rate
    taken: list[float] = []
    for number in range(times):
        intended = begin + number / rate
        time.sleep(max(0.0, intended - time.perf_counter()))
        step()
        taken.append(time.perf_counter() - intended)
        if taken[-1] > longest_s:
            break
    return taken


def pgbench(url: str, script: str, clients: int, seconds: int) -> float:
    """Transactions per second of a script; 0 seconds: three each. Python clients would be the bottleneck themselves."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "script.sql"
        file.write_text(script)
        command = [
            str(postgres.binaries() / "pgbench"), "-n", "-M", "prepared", "-c", str(clients),
            "-j", str(min(clients, 2)), *(("-T", str(seconds)) if seconds else ("-t", "3")), "-f", str(file), url,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 120)
    rate = re.search(r"tps = ([0-9.]+)", done.stdout)
    if done.returncode != 0 or rate is None:
        raise RuntimeError(f"pgbench failed: {done.stderr.strip()[-2000:]}")
    return float(rate[1])
