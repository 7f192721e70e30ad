"""One job a submission, each a transaction of its own: into many groups, and all into a single hot one."""

from collections.abc import Iterator
from functools import partial

import psycopg

from bench.lab import Lab
from bench.queues.floor import TABLE
from bench.records import Record, record
from bench.rounds import Measured, alternate, pgbench

FLOOR = r"""
\set path random(1, 1000000000000)
insert into item (payload) values (format('tests/%s.spec.ts', :path::bigint));
"""
SPREAD = r"""
\set path random(1, 1000000000000)
\set org random(1, 20)
\set build random(1, 10)
select run_id from qgjob.submit_run(p_org_id => 'org' || :org::int, p_app_version_id => 'v' || :build::int,
  p_jobs => jsonb_build_array(jsonb_build_object('test_path', format('tests/%s.spec.ts', :path::bigint))));
"""
HOT = r"""
\set path random(1, 1000000000000)
select run_id from qgjob.submit_run(p_org_id => 'hot', p_app_version_id => 'v1',
  p_jobs => jsonb_build_array(jsonb_build_object('test_path', format('tests/%s.spec.ts', :path::bigint))));
"""
PGMQ = "select pgmq.send('one', '{\"test_path\": \"tests/one.spec.ts\"}');"


def measure(lab: Lab) -> Iterator[Record]:
    seconds = lab.scale.seconds
    with lab.database("submit_one", migrated=True) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLE)
            connection.execute("select pgmq.create('one')")
        scripts = {"spread": SPREAD, "hot": HOT, "floor": FLOOR} | ({"pgmq": PGMQ} if "pgmq" in lab.peers else {})
        for clients in lab.scale.submit_clients:
            taken = alternate(
                {name: partial(rate, url, script, clients, seconds) for name, script in scripts.items()},
                lab.scale.rounds,
            )  # fmt: skip
            rates = {name: quantities["rate"] for name, quantities in taken.items()}
            beside: dict[str, list[float]] = {name: rates[name] for name in ("floor", "pgmq") if name in rates}
            yield record("submit-one", f"into 200 groups, {clients} connections", "/s", rates["spread"],
                         peers=beside, against="floor")  # fmt: skip
            judged = clients > 1
            yield record(
                "submit-one", f"into one hot group, {clients} connections", "/s", rates["hot"],
                peers={"200 groups": rates["spread"], **beside}, against="200 groups",
                bar="the same as into many groups" if judged else "",
                met=(lambda value, ratio: ratio >= 0.8) if judged else None,
            )  # fmt: skip


def rate(url: str, script: str, clients: int, seconds: int) -> Measured:
    return {"rate": pgbench(url, script, clients, seconds)}
