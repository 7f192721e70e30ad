"""What the server and the machine can do at all: beside these the other rows are read."""

from collections.abc import Iterator

import psycopg

from bench.lab import Lab
from bench.machine import load
from bench.records import Record, record
from bench.rounds import alternate, pgbench

TABLE = "create table line (line_id bigint generated always as identity primary key, text text not null)"
INSERT = "insert into line (text) values ('tests/one.spec.ts');"


def measure(lab: Lab) -> Iterator[Record]:
    seconds = lab.scale.seconds
    with lab.database("yardsticks") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLE)
        taken = alternate(
            {
                "SELECT 1, one client": lambda: {"rate": pgbench(url, "select 1;", 1, seconds), "load": load()},
                "one insert a transaction, one client": lambda: {"rate": pgbench(url, INSERT, 1, seconds)},
                "one insert a transaction, 16 clients": lambda: {"rate": pgbench(url, INSERT, 16, seconds)},
            },
            lab.scale.rounds,
        )
    for name, quantities in taken.items():
        yield record("yardsticks", name, "/s", quantities["rate"])
    yield record("yardsticks", "1-minute load average", "", taken["SELECT 1, one client"]["load"])
