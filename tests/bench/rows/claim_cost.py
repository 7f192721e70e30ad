"""What a grouped claim of 50 jobs costs, as backlog, groups and organisations grow, and against pgmq's grouped reads.

Every claim is given back at once (not counted), and devices hold no build, so each looks at the whole backlog afresh.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import psycopg

from bench.lab import Lab, Shape
from bench.queues.ours import Device, load
from bench.records import Record, record
from bench.rounds import Measured, Rounds, alternate, closed_loop, in_ms, open_loop, percentile, together

JOBS = 50
PGMQ_LOAD = """
  select count(*) from pgmq.send_batch('backlog',
    array(select jsonb_build_object('test_path', format('tests/%%s.spec.ts', n))
          from generate_series(1, %(jobs)s) as n),
    array(select jsonb_build_object('x-pgmq-group', format('g%%s', %(first)s + n %% %(groups)s))
          from generate_series(1, %(jobs)s) as n))
"""
# A visibility timeout of 0: what was read can be read again, so the backlog stays as it is.
READS = {
    "read_grouped": "select count(*) from pgmq.read_grouped('backlog', 0, %s)",
    "read_grouped_head": "select count(*) from pgmq.read_grouped_head('backlog', 0, %s)",
    "read": "select count(*) from pgmq.read('backlog', 0, %s)",
}


def measure(lab: Lab) -> Iterator[Record]:
    scale = lab.scale
    smallest, largest = scale.shapes[0], scale.shapes[-1]
    with ExitStack() as stack:
        urls: dict[Shape, str] = {}
        for shape in scale.shapes:
            urls[shape] = stack.enter_context(lab.database(f"backlog_{shape.jobs}", migrated=True))
            lab.say(f"  backlog of {shape}")
            began = time.monotonic()
            load(urls[shape], shape, lab.say)
            if "pgmq" in lab.peers:
                load_pgmq(urls[shape], shape)
            lab.say(f"  took {time.monotonic() - began:.0f} s")

        one_client: Rounds = {}
        for clients in scale.clients:
            lab.say(f"  {clients} claimers")
            taken = alternate({str(s): partial(claims, lab, url, clients) for s, url in urls.items()}, scale.rounds)
            one_client = one_client or taken
            for shape in scale.shapes:
                ours, base = taken[str(shape)], taken[str(smallest)]
                for quantity in ("p50", "p99"):
                    judged = quantity == "p50" and clients == scale.clients[0] and shape == largest
                    yield record(
                        "claim-cost", f"{quantity}, {clients} claimers, {shape}", "ms", ours[quantity],
                        peers={str(smallest): base[quantity]} if shape != smallest else {},
                        against=str(smallest) if shape != smallest else None,
                        bar="≤ 2× of the smallest and ≤ 3 ms" if judged else "",
                        met=(lambda value, ratio: ratio <= 2 and value <= 3) if judged else None,
                        note=f"{ours['claims/s'][-1]:.0f} claims/s",
                    )  # fmt: skip

        clients = scale.clients[-1] if len(scale.clients) < 2 else scale.clients[1]
        steady = alternate({"": partial(claims_at_a_rate, lab, urls[largest], clients)}, scale.rounds)[""]
        for quantity in ("p50", "p99"):
            yield record("claim-cost", f"{quantity}, open loop at {scale.claims_per_s:g}/s, {largest}", "ms",
                         steady[quantity], note=f"{clients} claimers, from the intended time")  # fmt: skip
        if "pgmq" in lab.peers:
            for shape, url in urls.items():
                yield against_pgmq(lab, url, shape, one_client[str(shape)]["p50"], judged=shape == largest)


def claims(lab: Lab, url: str, clients: int) -> Measured:
    """As many claims as the clients get through, one after the other."""
    times = max(2, lab.scale.claims // clients)
    with devices(url, clients) as driven:
        begin = time.perf_counter()
        taken = together([
            partial(closed_loop, partial(device.claim_and_give_back, JOBS), times, lab.scale.longest_s)
            for device in driven
        ])  # fmt: skip
        seconds = time.perf_counter() - begin
    return {**in_ms(taken), "claims/s": len(taken) / seconds}


def claims_at_a_rate(lab: Lab, url: str, clients: int) -> Measured:
    scale = lab.scale
    with devices(url, clients) as driven:
        return in_ms(together([
            partial(open_loop, partial(device.claim_and_give_back, JOBS), scale.claims_per_s / clients,
                    max(2, scale.claims // clients), number / clients, scale.longest_s)
            for number, device in enumerate(driven)
        ]))  # fmt: skip


@contextmanager
def devices(url: str, count: int) -> Iterator[list[Device]]:
    driven = [Device(url) for _ in range(count)]
    try:
        yield driven
    finally:
        for device in driven:
            device.close()


def against_pgmq(lab: Lab, url: str, shape: Shape, ours: list[float], *, judged: bool) -> Record:
    peers: dict[str, list[float]] = {}
    notes: list[str] = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"set statement_timeout = '{lab.scale.slowest_s}s'".encode())
        for name, query in READS.items():
            seconds: list[float] = []
            try:
                for _ in range(lab.scale.rounds):
                    begin = time.perf_counter()
                    connection.execute(query.encode(), (JOBS,))
                    seconds.append(time.perf_counter() - begin)
            except psycopg.errors.QueryCanceled:
                seconds.append(lab.scale.slowest_s)
                notes.append(f"{name} > {lab.scale.slowest_s:g} s")
            peers[name] = [1000 * percentile(seconds, 0.5)]
    return record(
        "claim-against-pgmq", f"p50, 1 claimer, {shape}", "ms", ours, peers=peers, against="read_grouped",
        bar="≥ 500× faster than read_grouped" if judged else "",
        met=(lambda value, ratio: ratio <= 1 / 500) if judged else None, note=", ".join(notes),
    )  # fmt: skip


def load_pgmq(url: str, shape: Shape) -> None:
    """The same backlog as messages: as many, in as many groups."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        connection.execute("select pgmq.create('backlog')")
        at_once = min(shape.groups, 100)
        for first in range(0, shape.groups, at_once):
            connection.execute(
                PGMQ_LOAD, {"jobs": at_once * shape.jobs_per_group, "first": first, "groups": at_once})  # fmt: skip
        connection.execute("select pgmq.create_fifo_index('backlog')")
        connection.execute("vacuum analyze pgmq.q_backlog")
