"""The least a queue on PostgreSQL can do: a narrow table, SKIP LOCKED, two statements a batch; no lease, no history."""

import time
from functools import partial
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from bench.queues.idle import Consumer, Sample, watch_idle_consumer
from bench.rounds import together

TABLE = """
  create table item (
    job_id bigint generated always as identity primary key, payload text not null, status smallint not null default 0
  ) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
  create index pending on item (job_id) where status = 0;
"""
CLAIM = """
  update item set status = 1 where job_id = any (array(
    select job_id from item where status = 0 order by job_id limit %s for no key update skip locked))
  returning job_id
"""
FINISH = "update item set status = 2 where job_id = any (%s) and status = 1"
FILL = "insert into item (payload) select format('tests/%%s.spec.ts', n) from generate_series(1, %s) as n"
INSERT = "insert into item (payload) values (%s)"


class Floor:
    most_clients = 64
    drained = 100_000
    batch = 100

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(TABLE)

    def submit(self, count: int) -> float:
        """COPY."""
        paths = [f"tests/{n}.spec.ts" for n in range(count)]
        begin = time.perf_counter()
        with self._connection.cursor() as cursor, cursor.copy("copy item (payload) from stdin") as copy:
            for path in paths:
                copy.write_row((path,))
        return time.perf_counter() - begin

    def submit_json(self, count: int) -> float:
        """One statement with a jsonb array, as anything that takes a list over SQL."""
        jobs = [{"test_path": f"tests/{n}.spec.ts"} for n in range(count)]
        begin = time.perf_counter()
        query = "insert into item (payload) select value ->> 'test_path' from jsonb_array_elements(%s)"
        self._connection.execute(query, (Jsonb(jobs),))
        return time.perf_counter() - begin

    def drain(self, count: int, clients: int, longest_s: float) -> dict[str, float]:
        self._connection.execute("truncate item")
        self._connection.execute(FILL, (count,))
        self._connection.execute("vacuum analyze item")
        end = time.monotonic() + longest_s
        connections = [psycopg.connect(self.url, autocommit=True) for _ in range(clients)]

        def client(connection: "psycopg.Connection[Any]") -> list[float]:
            sizes: list[float] = []
            while time.monotonic() < end:
                ids = [row[0] for row in connection.execute(CLAIM, (self.batch,))]
                if not ids:
                    break
                connection.execute(FINISH, (ids,))
                sizes.append(len(ids))
            return sizes

        begin = time.perf_counter()
        sizes = together([partial(client, connection) for connection in connections])
        seconds = time.perf_counter() - begin
        for connection in connections:
            connection.close()
        return {"jobs/s": sum(sizes) / seconds}

    def pick_up(self, samples: int) -> list[Sample]:
        self._connection.execute("truncate item")
        with psycopg.connect(self.url, autocommit=True) as listener, psycopg.connect(self.url, autocommit=True) as own:
            return watch_idle_consumer(_Waiting(own, listener), self._submit_one, samples)

    def close(self) -> None:
        self._connection.close()

    def _submit_one(self) -> None:
        with self._connection.transaction():
            self._connection.execute(INSERT, ("tests/one.spec.ts",))
            self._connection.execute("notify work")


class _Waiting(Consumer):
    def __init__(self, connection: "psycopg.Connection[Any]", listener: "psycopg.Connection[Any]") -> None:
        self._connection = connection
        self._listener = listener
        self._listener.execute("listen work")
        self._ids: list[int] = []

    def claim(self) -> bool:
        self._ids = [row[0] for row in self._connection.execute(CLAIM, (20,))]
        return bool(self._ids)

    def finish(self) -> None:
        self._connection.execute(FINISH, (self._ids,))

    def wait(self) -> None:
        for _ in self._listener.notifies(timeout=5, stop_after=1):
            pass

    def close(self) -> None: ...
