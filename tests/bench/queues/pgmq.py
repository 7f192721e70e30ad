"""pgmq as its documentation uses it: read with a visibility timeout, delete. Grouped reads are measured elsewhere."""

import time
from functools import partial
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from bench.queues.idle import Consumer, Sample, watch_idle_consumer
from bench.rounds import together

READ = "select msg_id from pgmq.read('work', 30, %s)"
DELETE = "select pgmq.delete('work', %s::bigint[])"
FILL = """
  select count(*) from pgmq.send_batch('work', array(
    select jsonb_build_object('test_path', format('tests/%%s.spec.ts', n)) from generate_series(1, %s) as n))
"""


class Pgmq:
    most_clients = 64
    drained = 100_000
    batch = 100

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("select pgmq.create('work')")

    def submit(self, count: int) -> float:
        messages = [Jsonb({"test_path": f"tests/{n}.spec.ts"}) for n in range(count)]
        begin = time.perf_counter()
        self._connection.execute("select count(*) from pgmq.send_batch('work', %s)", (messages,))
        return time.perf_counter() - begin

    def drain(self, count: int, clients: int, longest_s: float) -> dict[str, float]:
        self._connection.execute("truncate pgmq.q_work")
        self._connection.execute(FILL, (count,))
        self._connection.execute("vacuum analyze pgmq.q_work")
        end = time.monotonic() + longest_s
        connections = [psycopg.connect(self.url, autocommit=True) for _ in range(clients)]

        def client(connection: "psycopg.Connection[Any]") -> list[float]:
            sizes: list[float] = []
            while time.monotonic() < end:
                ids = [row[0] for row in connection.execute(READ, (self.batch,))]
                if not ids:
                    break
                connection.execute(DELETE, (ids,))
                sizes.append(len(ids))
            return sizes

        begin = time.perf_counter()
        sizes = together([partial(client, connection) for connection in connections])
        seconds = time.perf_counter() - begin
        for connection in connections:
            connection.close()
        return {"jobs/s": sum(sizes) / seconds}

    def pick_up(self, samples: int) -> list[Sample]:
        """With its notifications, which are off by default, and their throttle of 250 ms off."""
        self._connection.execute("truncate pgmq.q_work")
        self._connection.execute("select pgmq.enable_notify_insert('work', 0)")
        with psycopg.connect(self.url, autocommit=True) as listener, psycopg.connect(self.url, autocommit=True) as own:
            return watch_idle_consumer(_Waiting(own, listener), self._submit_one, samples)

    def close(self) -> None:
        self._connection.close()

    def _submit_one(self) -> None:
        self._connection.execute("select pgmq.send('work', %s)", (Jsonb({"test_path": "tests/one.spec.ts"}),))


class _Waiting(Consumer):
    def __init__(self, connection: "psycopg.Connection[Any]", listener: "psycopg.Connection[Any]") -> None:
        self._connection = connection
        self._listener = listener
        self._listener.execute('listen "pgmq.q_work.INSERT"')
        self._ids: list[int] = []

    def claim(self) -> bool:
        self._ids = [row[0] for row in self._connection.execute(READ, (20,))]
        return bool(self._ids)

    def finish(self) -> None:
        self._connection.execute(DELETE, (self._ids,))

    def wait(self) -> None:
        for _ in self._listener.notifies(timeout=5, stop_after=1):
            pass

    def close(self) -> None: ...
