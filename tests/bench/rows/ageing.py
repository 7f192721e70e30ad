"""Whether claims stay as cheap as at the start: under an old snapshot that is held, and after a million ended jobs."""

import time
from collections.abc import Iterator

import psycopg

from bench.lab import Lab
from bench.queues.ours import Device, Ours, load
from bench.records import Record, record
from bench.rounds import alternate, closed_loop, in_ms
from bench.rows.claim_cost import JOBS


def measure(lab: Lab) -> Iterator[Record]:
    scale = lab.scale
    shape = scale.shapes[min(1, len(scale.shapes) - 1)]
    with lab.database("ageing", migrated=True) as url:
        load(url, shape, lab.say)
        queue = Ours(url)
        under = int(scale.drained * queue.drained)
        queue.fill(under)
        start = claim_costs(lab, url)

        with psycopg.connect(url) as holder:
            holder.execute("set transaction isolation level repeatable read")
            holder.execute("select count(*) from qgjob.run")
            done = work(queue, under, scale.longest_s * 3)
            held = claim_costs(lab, url)
            holder.rollback()
        yield from compared("with a held snapshot", start, held, f"{done:,} jobs done under it")

        done += work(queue, scale.finished - done, scale.ageing_s, lab)
        aged = claim_costs(lab, url)
        yield from compared("after many jobs have ended", start, aged, f"{done:,} jobs ended")
        queue.close()


def claim_costs(lab: Lab, url: str) -> dict[str, list[float]]:
    def round_() -> dict[str, float]:
        device = Device(url)
        taken = closed_loop(lambda: device.claim_and_give_back(JOBS), lab.scale.claims, lab.scale.longest_s)
        device.close()
        return in_ms(taken)

    return alternate({"claim": round_}, lab.scale.rounds)["claim"]


def work(queue: Ours, count: int, longest_s: float, lab: Lab | None = None) -> int:
    """Let four clients finish so many jobs, or as many as they can in the time; how many it were."""
    done, end = 0, time.monotonic() + longest_s
    while done < count and (left := end - time.monotonic()) > 0:
        drained = queue.drain(min(50_000, count - done), 4, left)
        if not drained["jobs"]:
            break
        done += int(drained["jobs"])
        if lab:
            lab.say(f"  {done:,} of {count:,} jobs ended, {drained['jobs/s']:,.0f}/s")
    return done


def compared(when: str, start: dict[str, list[float]], now: dict[str, list[float]], note: str) -> Iterator[Record]:
    for quantity in ("p50", "p99"):
        judged = quantity == "p50"
        yield record(
            "ageing", f"claim {quantity} {when}", "ms", now[quantity], peers={"at the start": start[quantity]},
            against="at the start", bar="≤ 2× of the start" if judged else "",
            met=(lambda value, ratio: ratio <= 2) if judged else None, note=note,
        )  # fmt: skip
