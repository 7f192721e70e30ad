"""One workload through the real functions on a database of its own, with or without a history, and the baselines."""

from collections.abc import Callable
from random import Random

from sql.virtual_time import copied
from worker.replay.baselines import BASELINES
from worker.replay.schedule import Fleet, Schedule
from worker.replay.simulator import Simulator
from worker.replay.workload import Workload, earlier, targets

Say = Callable[[str], None]
# Between what ran before and the workload itself.
PAUSE_S = 60.0


def replayed(url: str, workload: Workload, fleet: Fleet, *, seed: int, noise: float, history: int) -> Schedule:
    """`history`: how often each test has run before, on the same devices. Raises simulator.Wrong."""
    with copied(url) as time:
        simulator = Simulator(time, targets(workload), fleet)
        for before in earlier(workload, Random(f"{seed} earlier"), noise=noise, runs=history):  # noqa: S311
            simulator.run(before)
            simulator.now_s += PAUSE_S
        return simulator.run(workload)


def compared(
    url: str, workload: Workload, fleet: Fleet, *, seed: int, noise: float, history: tuple[int, ...]
) -> dict[str, Schedule]:
    """The schedules by the name of who made them; ours come first."""
    schedules = {ours(runs): replayed(url, workload, fleet, seed=seed, noise=noise, history=runs) for runs in history}
    return schedules | {name: baseline(workload, fleet) for name, baseline in BASELINES.items()}


def ours(history: int) -> str:
    return (
        "qgjob, tests never seen" if history == 0 else f"qgjob, tests seen {'once' if history == 1 else f'{history}x'}"
    )
