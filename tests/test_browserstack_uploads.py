"""A build goes to BrowserStack once, whoever needs it, and again when BrowserStack has lost it."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from browserstack import BrowserStack
from engine import Engine
from sessions import app, here, register, run, with_artifact

from worker.batch import PrepareError

ACCOUNT = ("browserstack", "account")
SHA = "a" * 64


@pytest.fixture
def cloud() -> Iterator[BrowserStack]:
    with BrowserStack() as cloud:
        yield cloud


def submit(engine: Engine, *paths: str, build: str = "v1") -> None:
    engine.submit(*paths, build=build, defaults={"target": "browserstack"})


def find(engine: Engine, worker_id: int) -> tuple[str | None, bool]:
    return tuple(engine.call("find_upload", worker_id=worker_id, provider="browserstack", account="me", sha256=SHA))


def record(engine: Engine, url: str) -> None:
    engine.call("record_upload", provider="browserstack", account="me", sha256=SHA, url=url)


def test_a_build_is_uploaded_once_and_then_used_by_all(
    engine: Engine, database_url: str, cloud: BrowserStack, tmp_path: Path
) -> None:
    path = app(engine, tmp_path)
    submit(engine, "a.js", "b.js")

    async def work() -> None:
        async with here(database_url, cloud, "one") as one, here(database_url, cloud, "two") as two:
            batch = await one.claim()
            for worker in (one, one, two):
                await worker.backend.install(batch)

    run(work)
    (upload,) = cloud.uploads
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (upload.content, upload.name) == (path.read_bytes(), f"{sha256}.apk")
    assert upload.custom_id == f"qgjob-{sha256}"
    assert engine.row("select url, claimed_by from qgjob.upload") == (upload.url, None)


def test_the_same_content_under_another_version_is_not_uploaded_again(
    engine: Engine, database_url: str, cloud: BrowserStack, tmp_path: Path
) -> None:
    app(engine, tmp_path, build="v1")
    app(engine, tmp_path, build="v2")
    submit(engine, "a.js", build="v1")
    submit(engine, "a.js", build="v2")

    async def work() -> None:
        async with here(database_url, cloud) as worker:
            for _ in range(2):
                batch = await worker.claim()
                await worker.backend.install(batch)
                await worker.engine.release(batch.lease, "drained")

    run(work)
    assert len(cloud.uploads) == 1


def test_two_workers_with_the_same_new_build_upload_it_once(
    engine: Engine, database_url: str, cloud: BrowserStack, tmp_path: Path
) -> None:
    app(engine, tmp_path)
    submit(engine, "a.js")
    cloud.before_upload.clear()

    async def work() -> None:
        async with here(database_url, cloud, "one") as one, here(database_url, cloud, "two") as two:
            batch = await one.claim()
            looks: list[bool] = []
            find_upload = two.engine.find_upload

            async def look(provider: str, account: str, sha256: str) -> object:
                found = await find_upload(provider, account, sha256)
                looks.append(found.yours)
                if len(looks) == 2:
                    cloud.before_upload.set()
                return found

            two.engine.find_upload = look  # type: ignore[method-assign, assignment]
            uploading = asyncio.create_task(one.backend.install(batch))
            while not cloud.asked("POST", "/app-automate/upload"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.gather(uploading, *(two.backend.install(batch) for _ in range(3)))
            assert not any(looks)

    run(work)
    assert len(cloud.uploads) == 1


def test_of_two_workers_that_ask_at_once_one_uploads(engine: Engine, database_url: str) -> None:
    one, two = engine.drive("one", "browserstack"), engine.drive("two", "browserstack")
    with engine.another() as first, engine.another() as second:
        with first.connection.transaction():
            assert find(first, one.worker_id) == (None, True)
            assert second.value("select count(*) from qgjob.upload") == 0  # it cannot see the claim yet
            second.rows("select set_config('lock_timeout', '50ms', false)")
            with pytest.raises(Exception, match="lock timeout"):
                find(second, two.worker_id)
        assert find(second, two.worker_id) == (None, False)
        assert find(first, one.worker_id) == (None, True), "its own claim is answered again"


def test_a_claim_ends_with_its_worker(engine: Engine) -> None:
    one, two = engine.drive("one", "browserstack"), engine.drive("two", "browserstack", lease_s=3600)
    assert find(engine, one.worker_id) == (None, True)
    assert find(engine, two.worker_id) == (None, False)
    engine.move_clock(31)
    assert find(engine, two.worker_id) == (None, True)
    engine.call("end_worker", worker_id=two.worker_id)
    assert find(engine, engine.drive("three", "browserstack").worker_id) == (None, True)


def test_a_claim_lasts_a_quarter_of_an_hour_at_most(engine: Engine) -> None:
    one, two = (engine.drive(name, "browserstack", lease_s=3600).worker_id for name in ("one", "two"))
    assert find(engine, one) == (None, True)
    engine.move_clock(14 * 60)
    assert find(engine, two) == (None, False)
    engine.move_clock(2 * 60)
    assert find(engine, two) == (None, True)


def test_what_was_uploaded_a_month_ago_is_uploaded_again(engine: Engine) -> None:
    worker_id = engine.drive("one", "browserstack").worker_id
    record(engine, "bs://old")
    assert find(engine, worker_id) == ("bs://old", False)
    engine.move_clock(29 * 86400)
    assert find(engine, worker_id) == (None, True)
    record(engine, "bs://new")
    assert find(engine, worker_id) == ("bs://new", False)


def test_forgetting_an_upload_leaves_what_others_did_meanwhile(engine: Engine) -> None:
    one, two = (engine.drive(name, "browserstack").worker_id for name in ("one", "two"))
    record(engine, "bs://new")
    same = {"provider": "browserstack", "account": "me", "sha256": SHA}
    engine.call("forget_upload", worker_id=one, url="bs://old", **same)
    assert find(engine, one) == ("bs://new", False)
    engine.call("forget_upload", worker_id=one, url="bs://new", **same)
    assert find(engine, two) == (None, True)
    engine.call("forget_upload", worker_id=one, **same)
    assert find(engine, one) == (None, False)
    engine.call("forget_upload", worker_id=two, **same)
    assert find(engine, one) == (None, True)


def test_an_upload_that_the_cloud_has_lost_is_made_again(
    engine: Engine, database_url: str, cloud: BrowserStack, tmp_path: Path
) -> None:
    app(engine, tmp_path)
    submit(engine, "a.js")

    async def work() -> None:
        async with here(database_url, cloud) as worker:
            batch = await worker.claim()
            await worker.backend.install(batch)
            cloud.expire_uploads()
            session = await worker.backend.open_session(batch)
            assert cloud.sessions[0].app == cloud.uploads[1].url
            await worker.backend.close_session(session, failed=False)

    run(work)
    assert engine.value("select url from qgjob.upload") == cloud.uploads[1].url
    assert len(cloud.uploads) == 2


def test_what_another_database_uploaded_is_found_by_its_hash(
    engine: Engine, database_url: str, cloud: BrowserStack, tmp_path: Path
) -> None:
    app(engine, tmp_path)
    submit(engine, "a.js")

    async def work() -> None:
        async with here(database_url, cloud) as worker:
            batch = await worker.claim()
            await worker.backend.install(batch)
            engine.rows("delete from qgjob.upload returning 1")
            await worker.backend.install(batch)

    run(work)
    assert len(cloud.uploads) == 1
    assert engine.value("select url from qgjob.upload") == cloud.uploads[0].url


def test_a_bs_url_is_used_as_it_is_and_blamed_when_it_has_expired(
    engine: Engine, database_url: str, cloud: BrowserStack
) -> None:
    register(engine, "bs://gone", SHA)
    submit(engine, "a.js")

    async def work() -> None:
        async with here(database_url, cloud) as worker:
            batch = await worker.claim()
            await worker.backend.install(batch)
            with pytest.raises(PrepareError, match="bs://gone; uploads end after 30 days") as refused:
                await worker.backend.open_session(batch)
            assert refused.value.blame == "app"

    run(work)
    assert cloud.uploads == []
    assert engine.rows("select from qgjob.upload") == []


@pytest.mark.parametrize(
    ("name", "content", "blame", "words"),
    [
        ("shop.zip", "shop 1.0", "app", "does not take this build: .*HTTP 422.*Please upload an Android app"),
        ("shop.apk", "something else", "app", "not the one that was added to the build"),
        ("missing.apk", None, "source", "There is no file"),
    ],
)
def test_a_build_that_cannot_be_uploaded_says_why_and_gives_up_its_claim(
    engine: Engine,
    database_url: str,
    cloud: BrowserStack,
    tmp_path: Path,
    name: str,
    content: str | None,
    blame: str,
    words: str,
) -> None:
    app(engine, tmp_path)
    submit(engine, "a.js")
    if content:
        (tmp_path / name).write_text(content)

    async def work() -> None:
        async with here(database_url, cloud) as worker:
            batch = with_artifact(await worker.claim(), url=(tmp_path / name).as_uri())
            with pytest.raises(PrepareError, match=words) as refused:
                await worker.backend.install(batch)
            assert refused.value.blame == blame

    run(work)
    assert engine.rows("select from qgjob.upload") == []
