"""Waiting for runs and jobs costs nothing: whoever waits for the same one shares one copy of it, which one task of this
process keeps up to date, by announcements and, for what they miss, by looking at all of them together now and then.

Every state has a number, seq. States may be left out, the latest never is: so nobody is lost by a broken connection,
and who reads slowly makes nothing pile up.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, LiteralString, NoReturn, TypeVar

import msgspec
import psycopg
from msgspec import Struct
from psycopg_pool import PoolTimeout

import sql
from api.announcements import Announcements
from qgjob import logs
from qgjob.models.jobs import WatchedJob
from qgjob.models.runs import Run

troubles = logs.seldom("api.background")
Document = TypeVar("Document", bound=Run | WatchedJob)

# How long announcements are trusted, and how often to look where there are none: seconds, more where many are watched.
HEARD_S, UNHEARD_S = 10.0, 1.0
MANY = 1000
# watch_runs.sql has changes announced for a minute.
MARKED_S = 25.0
# A change that began before the mark is not announced and may be committed after the first look.
LOOK_TWICE_S = 1.0
# Announcements that come together are answered by one look.
GATHER_S = 0.02
LOCKED_S = 0.2
OUTAGE_S = 1.0
# What nobody waits for any more is kept this long, for the next request of who polls.
LINGER_S = 5.0
AT_A_TIME = 500


class Kind(Struct, Generic[Document], frozen=True):
    """`pause_s`: how soon to read one again, which costs more the larger it is."""

    get: LiteralString
    watch: LiteralString
    changed: LiteralString
    id: LiteralString
    document: type[Document]
    pause_s: Callable[[Document], float]


RUNS: Kind[Run] = Kind("get_run", "watch_runs", "changed_runs", "run_id", Run, lambda run: min(0.5, run.total / 20_000))
JOBS: Kind[WatchedJob] = Kind("get_job", "watch_jobs", "changed_jobs", "job_id", WatchedJob, lambda _: 0.0)


class Snapshot(Struct):
    """A row of changed_runs or changed_jobs."""

    id: int
    seq: int
    ended: bool
    run_ids: list[int]
    document: dict[str, Any]


class Marked(Struct):
    """A row of watch_runs or watch_jobs."""

    id: int


class Watched(Generic[Document]):
    """A run or job, as it is now."""

    def __init__(self, snapshot: Snapshot, kind: Kind[Document]) -> None:
        self._kind: Kind[Document] = kind
        self.changed = asyncio.Event()
        self.waiting = 0
        self.left_at = 0.0
        self.marked_until = 0.0
        self.not_before = 0.0
        self.take(snapshot)

    def take(self, snapshot: Snapshot) -> None:
        self.seq, self.ended, self.run_ids = snapshot.seq, snapshot.ended, snapshot.run_ids
        self.document = msgspec.convert(snapshot.document, self._kind.document)
        self.json = msgspec.json.encode(self.document)  # once for all who wait
        self.wake()

    def wake(self) -> None:
        woken, self.changed = self.changed, asyncio.Event()
        woken.set()


class Watches(Generic[Document]):
    """All of one kind that somebody in this process waits for."""

    def __init__(self, db: sql.Database, announcements: Announcements, kind: Kind[Document]) -> None:
        self._db = db
        self._announcements = announcements
        self._kind: Kind[Document] = kind
        self._all: dict[int, Watched[Document]] = {}
        self._of_run: dict[int, set[int]] = {}
        self._dirty: set[int] = set()
        self._later: dict[int, float] = {}
        self._stirred = asyncio.Event()
        announcements.tell("qgjob_run", self._hear)

    async def look(self, key: int, db: sql.OnBehalf) -> Document:
        """As it is now, without waiting. Raises what the get function of this kind raises where there is none, or none
        for the organisation that `db` is on behalf of: what is shared here is of all of them."""
        return msgspec.convert((await self._find(key, db)).document, self._kind.document)

    @asynccontextmanager
    async def of(self, key: int, db: sql.OnBehalf) -> AsyncGenerator[Watched[Document]]:
        """What is waited for. Raises as `look` does."""
        watched = self._all.get(key)
        if watched is None:
            found = await self._find(key, db)
            watched = self._all.setdefault(key, Watched(found, self._kind))
            self._index(key, watched.run_ids)
            self._stir([key])  # for the mark, and for what changed before it
        elif not belongs(watched.document, db):
            await self._refuse(key, db)
        watched.waiting += 1
        try:
            yield watched
        finally:
            watched.waiting -= 1
            watched.left_at = asyncio.get_running_loop().time()

    async def beyond(self, watched: Watched[Document], after_seq: int, wait_s: float) -> bool:
        """Whether there is more than this: otherwise the time is over, it has ended, or the process is leaving."""
        try:
            async with asyncio.timeout(wait_s):
                while watched.seq <= after_seq and not watched.ended and not self.leaving:
                    await watched.changed.wait()
        except TimeoutError:
            pass
        return watched.seq > after_seq

    @property
    def leaving(self) -> bool:
        return self._announcements.leaving

    async def keep_up(self) -> None:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        look_at_all = 0.0
        while True:
            times = [look_at_all, *self._later.values(), *(self._all[key].not_before for key in self._dirty)]
            try:
                async with asyncio.timeout_at(min(times)):
                    await self._stirred.wait()
            except TimeoutError:
                pass
            self._stirred.clear()
            if clock() >= look_at_all:
                self._forget(clock() - LINGER_S)
                self._dirty.update(key for key, watched in self._all.items() if not watched.ended)
                once = HEARD_S if self._announcements.heard else UNHEARD_S
                look_at_all = clock() + once * max(1.0, len(self._all) / MANY)
            now = clock()
            self._dirty.update(key for key, at in self._later.items() if at <= now)
            due = [key for key in self._dirty if self._all[key].not_before <= now]
            for first in range(0, len(due), AT_A_TIME):
                await self._look(due[first : first + AT_A_TIME])
            await asyncio.sleep(GATHER_S)

    async def _look(self, ids: list[int]) -> None:
        self._dirty.difference_update(ids)
        for key in ids:
            self._later.pop(key, None)
        clock = asyncio.get_running_loop().time
        try:
            await self._mark([key for key in ids if self._all[key].marked_until < clock() and not self._all[key].ended])
            for snapshot in await self._read(ids, [self._all[key].seq for key in ids]):
                watched = self._all[snapshot.id]
                watched.take(snapshot)
                watched.not_before = clock() + self._kind.pause_s(watched.document)
                self._index(snapshot.id, snapshot.run_ids)
        except (psycopg.Error, PoolTimeout) as error:
            troubles.warning("cannot look at what is waited for: %s", str(error).strip())
            self._later.update(dict.fromkeys(ids, clock() + OUTAGE_S))

    async def _find(self, key: int, db: sql.OnBehalf) -> Snapshot:
        found = await self._read([key], [-1])
        if not found or not belongs(msgspec.convert(found[0].document, self._kind.document), db):
            await self._refuse(key, db)
        return found[0]

    async def _refuse(self, key: int, db: sql.OnBehalf) -> NoReturn:
        await sql.call(db, self._kind.get, **{self._kind.id: key, "org_id": db.org_id})
        raise LookupError(key)

    async def _mark(self, ids: list[int]) -> None:
        if not ids:
            return
        now = asyncio.get_running_loop().time()
        self._later.update(dict.fromkeys(ids, now + LOCKED_S))
        for row in await sql.many(self._db, Marked, self._kind.watch, **{f"{self._kind.id}s": ids}):
            watched = self._all[row.id]
            if watched.marked_until:
                del self._later[row.id]
            else:
                self._later[row.id] = now + LOOK_TWICE_S
            watched.marked_until = now + MARKED_S

    async def _read(self, ids: list[int], after_seqs: list[int]) -> list[Snapshot]:
        args = {f"{self._kind.id}s": ids, "after_seqs": after_seqs}
        return await sql.many(self._db, Snapshot, self._kind.changed, **args)

    def _hear(self, payload: str | None) -> None:
        if payload is None:
            self._stir(self._all)
            if self.leaving:
                for watched in self._all.values():
                    watched.wake()
        elif payload.isascii() and payload.isdigit():  # anybody may notify
            self._stir(self._of_run.get(int(payload), ()))

    def _stir(self, ids: Iterable[int]) -> None:
        before = len(self._dirty)
        self._dirty.update(key for key in ids if not self._all[key].ended)
        if len(self._dirty) > before:
            self._stirred.set()

    def _index(self, key: int, run_ids: Iterable[int]) -> None:
        for run_id in run_ids:
            self._of_run.setdefault(run_id, set()).add(key)

    def _forget(self, before: float) -> None:
        for key, watched in list(self._all.items()):
            if not watched.waiting and watched.left_at < before:
                del self._all[key]
                self._dirty.discard(key)
                self._later.pop(key, None)
                for run_id in watched.run_ids:
                    ids = self._of_run.get(run_id, set())
                    ids.discard(key)
                    if not ids:
                        self._of_run.pop(run_id, None)


class Waiter(Generic[Document]):
    """Somebody who asks for one of them, and may wait for it as long as they are admitted."""

    def __init__(
        self, watches: Watches[Document], db: sql.OnBehalf, admit_again: Callable[[], Awaitable[None]]
    ) -> None:
        self._watches: Watches[Document] = watches
        self._db = db
        self._admit_again = admit_again

    async def look(self, key: int) -> Document:
        """Raises as Watches.look does."""
        return await self._watches.look(key, self._db)

    def of(self, key: int) -> AbstractAsyncContextManager[Watched[Document]]:
        """Raises as Watches.of does."""
        return self._watches.of(key, self._db)

    async def beyond(self, watched: Watched[Document], after_seq: int, wait_s: float) -> bool:
        """As Watches.beyond. Raises as Access.caller does: a token may have been revoked, or expired, meanwhile."""
        changed = await self._watches.beyond(watched, after_seq, wait_s)
        await self._admit_again()
        return changed

    @property
    def leaving(self) -> bool:
        return self._watches.leaving


def belongs(document: Run | WatchedJob, db: sql.OnBehalf) -> bool:
    return db.org_id in (None, document.org_id)
