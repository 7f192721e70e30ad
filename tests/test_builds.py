"""A build is a name for content that never changes; files get into the store once, whole, and only as announced."""

import hashlib
import io
import json
import os
import socket
import threading
import zipfile
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import psycopg
import pytest
from engine import Engine, refused
from processes import Services
from stand_in import Answer, StandIn

from qgjob.children import wait_until


def zipped(*names: str, content: bytes = b"an app " * 1000) -> bytes:
    """The same bytes each time."""
    with io.BytesIO() as whole:
        with zipfile.ZipFile(whole, "w") as archive:
            for name in names:
                archive.writestr(zipfile.ZipInfo(name), content)
        return whole.getvalue()


APK = zipped("AndroidManifest.xml")
SHA = hashlib.sha256(APK).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()
KEY = f"builds/acme/{SHA}.apk"


def add(engine: Engine, sha256: str = SHA, platform: str = "android", **options: Any) -> Any:
    named = {"org_id": "acme", "app_version_id": "v1", "url": "https://ci.example/a.apk"} | options
    return engine.call("add_artifact", platform=platform, sha256=sha256, **named)


@pytest.fixture
def apk(tmp_path: Path) -> Path:
    path = tmp_path / "app.apk"
    path.write_bytes(APK)
    return path


def added(services: Services, *argv: str, org: str = "acme", version: str = "v1") -> Any:
    return services.qgjob("builds", "add", f"--org-id={org}", f"--app-version-id={version}", *argv)


def stored(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder / "store").as_posix() for path in (folder / "store").rglob("*") if path.is_file()
    )


def put(url: str, body: bytes, sha256: str = SHA, content_type: str = "application/octet-stream", **query: str) -> int:
    """The status of an upload."""
    fields = "&".join(f"{name}={value}" for name, value in {"sha256": sha256, **query}.items())
    address = f"{url}/builds/acme/v1/artifacts/android?{fields}"
    try:
        with urlopen(Request(address, body, {"Content-Type": content_type}, method="PUT"), timeout=60) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def test_the_same_content_again_is_welcome_and_other_content_is_refused(engine: Engine) -> None:
    assert add(engine).added
    again = add(engine, url="https://mirror.example/a.apk", app_id="com.example.app")
    assert (again.added, again.url, again.app_id) == (False, "https://mirror.example/a.apk", "com.example.app")
    assert add(engine).app_id == "com.example.app", "what is left out stays"
    with refused("build_is_immutable"):
        add(engine, OTHER)
    assert add(engine, OTHER, "ios").added
    assert add(engine, OTHER, app_version_id="v2").added


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"platform": "symbian"}, "platform_is_known"),
        ({"sha256": SHA.upper()}, "sha256_is_hex"),
        ({"sha256": None}, "sha256_is_hex"),
        ({"size": 0}, "size_is_positive"),
        ({"url": None}, "url_is_usable"),
        ({"url": "ftp://x/a.apk"}, "url_is_usable"),
        ({"url": "file://host/a.apk"}, "url_is_usable"),
        ({"url": "https://user:secret@ci.example/a.apk"}, "url_is_usable"),
        ({"url": f"builds/globex/{SHA}.apk"}, "url_is_usable"),
        ({"url": f"builds/acme/{OTHER}.apk"}, "url_is_usable"),
        ({"url": f"builds/acme/{SHA}./../../x"}, "url_is_usable"),
        ({"url": "attempts/acme/1/1/1-a"}, "url_is_usable"),
        ({"app_id": "com.example; reboot"}, "app_id_is_a_name"),
        ({"org_id": "../x"}, "org_id_is_a_name"),
    ],
)
def test_an_artifact_is_well_formed(engine: Engine, wrong: dict[str, Any], rule: str) -> None:
    with refused(rule):
        add(engine, **wrong)
    assert engine.value("select count(*) from qgjob.artifact") == 0


def test_groups_that_wait_get_the_content_as_their_identity(engine: Engine) -> None:
    engine.submit({"test_path": "a.js", "selector": {"platform": "android"}})
    assert engine.value("select build from qgjob.job_group") == "acme/v1"
    add(engine, url=KEY)
    assert engine.value("select build from qgjob.job_group") == f"acme/sha256:{SHA}"
    batch = engine.claim(engine.drive(platform="android"))
    assert (batch.build, batch.install) == (f"acme/sha256:{SHA}", True)
    assert (batch.artifact["url"], batch.artifact["sha256"]) == (KEY, SHA)


def test_a_device_that_installs_meanwhile_holds_what_it_was_told_to_install(engine: Engine) -> None:
    engine.submit("a.js", "b.js", "c.js")
    driver = engine.drive()
    batch = engine.claim(driver, max_jobs=1)
    add(engine)
    engine.call("record_install", lease=batch.lease)
    assert engine.value("select installed_build from qgjob.device") == "acme/v1", "not the artifact, which it never saw"
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    engine.release(batch.lease)
    following = engine.claim(driver)
    assert (following.install, following.build) == (True, f"acme/sha256:{SHA}")


def test_a_submission_and_an_artifact_that_cross_agree_on_the_identity(engine: Engine) -> None:
    engine.submit("a.js", org="acme", build="v1")
    for second in ("add", "submit"):
        build = "v-" + second
        engine.submit({"test_path": "z.js", "target": "device"}, build=build)
        with engine.another() as other, other.connection.transaction():
            if second == "add":  # the submission is not committed yet when the artifact comes
                other.submit("a.js", build=build)
                crossing = in_background(lambda b=build: cross(engine.url, lambda one: add(one, app_version_id=b)))
            else:
                add(other, app_version_id=build)
                crossing = in_background(lambda b=build: cross(engine.url, lambda one: one.submit("a.js", build=b)))
            assert wait_until(lambda: waiting(engine), 30)
        crossing.join(30)
        found = {row.build for row in engine.rows("select build from qgjob.job_group where app_version_id = %s", build)}
        assert found == {f"acme/sha256:{SHA}"}


def cross(url: str, work: Callable[[Engine], Any]) -> None:
    with Engine(url) as one:
        work(one)


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def waiting(engine: Engine) -> bool:
    return bool(engine.value("select count(*) from pg_stat_activity where wait_event_type = 'Lock'"))


def test_a_file_is_uploaded_once_for_an_organisation(services: Services, apk: Path, tmp_path: Path) -> None:
    services.api()
    first = added(services, f"--android={apk}", "--app-id=com.example.app")
    assert first.returncode == 0, first.stderr
    assert "uploading app.apk" in first.stderr
    again = added(services, f"--android={apk}", version="v2")
    assert again.returncode == 0, again.stderr
    assert "uploading" not in again.stderr
    # Whether somebody else has it is nobody's business: they send it, too.
    assert "uploading" in added(services, f"--android={apk}", org="globex").stderr
    assert stored(tmp_path) == [f"builds/acme/{SHA}.apk", f"builds/globex/{SHA}.apk"]
    listed = json.loads(services.qgjob("builds", "list", "--org-id=acme", "--json").stdout)["data"]["builds"]
    assert [build["app_version_id"] for build in listed] == ["v2", "v1"]
    (artifact,) = listed[1]["artifacts"]
    assert (artifact["url"], artifact["size"], artifact["app_id"]) == (KEY, len(APK), "com.example.app")
    assert "uploaded" in services.qgjob("builds", "list", "--org-id=acme").stdout


def test_other_content_is_refused_before_it_is_sent(services: Services, apk: Path, tmp_path: Path) -> None:
    services.api()
    added(services, f"--android={apk}")
    apk.write_bytes(zipped("AndroidManifest.xml", content=b"another"))
    result = added(services, f"--android={apk}")
    assert result.returncode == 4
    assert "has another file for android already" in result.stderr
    assert "app_version_id of its own" in result.stderr
    assert "uploading" not in result.stderr
    assert stored(tmp_path) == [KEY]


def test_what_arrives_is_what_was_announced_or_nothing(services: Services, engine: Engine, tmp_path: Path) -> None:
    url = services.api(QGJOB_BUILD_MAX_MB="20")
    assert put(url, b"") == 422
    assert put(url, b"tampered with") == 409
    assert put(url, APK[:-1]) == 409
    assert put(url, os.urandom(19_000_000)) == 409, "in many parts"
    assert put(url, APK, suffix="exe") == 422
    assert put(url, APK, content_type="text/plain") == 415
    assert stored(tmp_path) == []
    assert engine.value("select count(*) from qgjob.artifact") == 0
    assert put(url, APK) == 201
    assert put(url, APK) == 200
    assert stored(tmp_path) == [KEY]


def test_what_is_too_large_is_refused_before_it_is_sent(services: Services, apk: Path, tmp_path: Path) -> None:
    address = urlsplit(services.api(QGJOB_BUILD_MAX_MB="1"))
    apk.write_bytes(zipped("AndroidManifest.xml", content=bytes(1_000_001)))
    result = added(services, f"--android={apk}")
    assert result.returncode == 4
    assert "at most 1 MB here" in result.stderr
    assert "uploading" not in result.stderr
    connection = HTTPConnection(address.netloc, timeout=30)
    connection.putrequest("PUT", f"/builds/acme/v1/artifacts/android?sha256={SHA}")
    connection.putheader("Content-Type", "application/octet-stream")
    connection.putheader("Content-Length", "1000001")
    connection.endheaders()
    with connection.getresponse() as answer:
        assert answer.status == 413
    connection.close()
    assert stored(tmp_path) == []


def test_an_upload_that_breaks_off_leaves_nothing(services: Services, engine: Engine, tmp_path: Path) -> None:
    url = services.api()
    address = urlsplit(url)
    head = f"PUT /builds/acme/v1/artifacts/android?sha256={SHA} HTTP/1.1\r\nHost: {address.netloc}\r\n"
    head += f"Content-Type: application/octet-stream\r\nContent-Length: {len(APK) + 50_000_000}\r\n\r\n"
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.sendall(head.encode() + APK + bytes(12_000_000))
        store = tmp_path / "store"
        assert wait_until(lambda: any("#" in path.name for path in store.rglob("*")), 30), "it has begun"
    assert wait_until(lambda: stored(tmp_path) == [], 30), stored(tmp_path)
    assert engine.value("select count(*) from qgjob.artifact") == 0
    assert "Traceback" not in (tmp_path / "api.log").read_text()
    assert put(url, APK) == 201


def test_many_uploads_of_the_same_build_at_once_all_succeed(services: Services, tmp_path: Path) -> None:
    url = services.api()
    statuses: list[int] = []
    threads = [in_background(lambda: statuses.append(put(url, APK))) for _ in range(8)]
    for thread in threads:
        thread.join(60)
    assert sorted(statuses) == [200] * 7 + [201]
    assert stored(tmp_path) == [KEY]


def test_a_url_that_only_others_can_read_needs_a_hash_and_is_never_asked_by_the_api(services: Services) -> None:
    services.api()
    for url in ("bs://c700ce60cf13ae8ed97705a55b8e022f13c5827c", "file:///builds/app.ipa"):
        unhashed = added(services, f"--ios={url}")
        assert (unhashed.returncode, "needs --sha256" in unhashed.stderr) == (2, True), unhashed.stderr
        done = added(services, f"--ios={url}", f"--sha256={SHA}")
        assert done.returncode == 0, done.stderr
    assert added(services, "--android=https://127.0.0.1:1/app.apk", f"--sha256={SHA}").returncode == 0


def test_the_hash_of_a_url_is_of_what_is_there(services: Services, engine: Engine) -> None:
    services.api()
    there = "PK\x03\x04 and more"
    with StandIn() as ci:
        ci.on("GET", "/signed/app.apk", Answer(302, "", {"location": "/app.apk"}))
        ci.on("GET", "/app.apk", Answer(body=there))
        done = added(services, f"--android={ci.url}/signed/app.apk?key=s3cret")
        assert done.returncode == 0, done.stderr
        assert f"reading {ci.url}/signed/app.apk for its SHA-256" in done.stderr
        assert "s3cret" not in done.stderr + done.stdout
        sha256 = hashlib.sha256(there.encode()).hexdigest()
        assert engine.row("select url, sha256 from qgjob.artifact") == (f"{ci.url}/signed/app.apk?key=s3cret", sha256)
        lost = added(services, f"--ios={ci.url}/nowhere.ipa")
        assert (lost.returncode, "cannot be read: HTTP 404" in lost.stderr) == (2, True), lost.stderr
    gone = added(services, f"--ios={ci.url}/app.ipa")
    assert (gone.returncode, "cannot be read: " in gone.stderr, "give --sha256" in gone.stderr) == (2, True, True)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "give --android, --ios"),
        (("--android=missing.apk",), "cannot read missing.apk"),
        (("--android=.",), "is a folder"),
        (("--android=package.json",), "does not end in .apk or .aab"),
        (("--android=a.apk", "--ios=b.ipa", "--app-id=com.example"), "one by one"),
        (("--android=https://[::1/app.apk",), "is no URL"),
    ],
)
def test_a_mistake_is_told_before_anything_is_sent(services: Services, argv: tuple[str, ...], said: str) -> None:
    services.url = "http://127.0.0.1:9"
    result = added(services, *argv)
    assert (result.returncode, said in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("app.apk", b"version https://git-lfs.github.com/spec/v1\noid sha256:9f86", "it is no zip archive"),
        ("app.apk", APK[:-30], "it is no zip archive"),
        ("app.apk", zipped("base/manifest/AndroidManifest.xml"), "there is no AndroidManifest.xml in it"),
        ("app.AAB", APK, "there is no base/manifest/AndroidManifest.xml in it"),
        ("app.ipa", zipped("Shop.app/Info.plist"), "there is no Payload/*.app/ in it"),
        ("app.zip", zipped("Info.plist"), "there is no *.app/ in it"),
    ],
)
def test_what_cannot_be_an_app_is_refused_before_it_holds_the_version(
    services: Services, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    services.url = "http://127.0.0.1:9"
    platform = "android" if name.lower().endswith(("apk", "aab")) else "ios"
    result = added(services, f"--{platform}={tmp_path / name}")
    assert result.returncode == 2
    assert f"{name} is no app: {said}" in result.stderr
    assert "hint: " in result.stderr


@pytest.mark.parametrize(
    ("platform", "name", "inside"),
    [
        ("android", "app.aab", "base/manifest/AndroidManifest.xml"),
        ("ios", "app.ipa", "Payload/Shop.app/Info.plist"),
        ("ios", "app.zip", "Shop.app/"),
    ],
)
def test_apps_of_every_kind_are_welcome(
    services: Services, tmp_path: Path, platform: str, name: str, inside: str
) -> None:
    services.api()
    (tmp_path / name).write_bytes(zipped("META-INF/", inside))
    done = added(services, f"--{platform}={tmp_path / name}")
    assert done.returncode == 0, done.stderr


def test_a_page_that_asks_to_log_in_is_no_app(services: Services, engine: Engine) -> None:
    services.api()
    with StandIn() as ci:
        ci.on("GET", "/app.apk", Answer(body="<!DOCTYPE html>"))
        ci.on("GET", "/latest", Answer(body="whatever it is"))
        result = added(services, f"--android={ci.url}/app.apk")
        assert (result.returncode, "is no app: it is no zip archive" in result.stderr) == (2, True), result.stderr
        assert engine.value("select count(*) from qgjob.artifact") == 0
        assert added(services, f"--android={ci.url}/latest").returncode == 0


def test_the_api_says_what_is_wrong_with_its_settings(services: Services, tmp_path: Path) -> None:
    for setting, value in (("QGJOB_STORE_URL", "ftp://x"), ("QGJOB_BUILD_MAX_MB", "much")):
        child = services.start(f"api-{value[0]}", "api", "--port", "0", **{setting: value})
        assert wait_until(lambda child=child: not child.running, 30)
        assert child.process.returncode == 2
        assert setting in child.last_lines()


def test_the_api_says_that_it_cannot_listen_before_it_says_that_it_serves(services: Services) -> None:
    port = services.api().rpartition(":")[2]
    for where, why in (("127.0.0.1", "Address already in use"), ("999.1.1.1", "not known")):
        child = services.start(f"api-{where}", "api", "--port", port, "--host", where, "--without-authentication")
        assert wait_until(lambda child=child: not child.running, 30)
        assert child.process.returncode == 2
        (said,) = child.last_lines().splitlines()
        assert said.startswith(f"error: cannot listen on {where}, port {port}: ")
        assert why in said


def test_one_build_is_shown_with_the_whole_hashes_of_its_files(services: Services, engine: Engine) -> None:
    services.api()
    add(engine, app_id="com.example.shop", size=1_234_567)
    add(engine, sha256="1" * 64, platform="ios", url="bs://1")
    engine.submit("a.js", build="v2")
    shown = services.qgjob("builds", "show", "v1", "--org-id=acme")
    assert (shown.returncode, shown.stderr) == (0, "its runs: qgjob runs --org-id=acme --app-version-id=v1\n")
    words = shown.stdout.split()
    assert {SHA, "1" * 64, "bs://1", "com.example.shop", "1.2"} <= set(words)
    document = json.loads(services.qgjob("builds", "show", "v1", "--org-id=acme", "--json").stdout)
    assert document["schema"] == "qgjob.build/v1"
    assert [one["sha256"] for one in document["data"]["artifacts"]] == [SHA, "1" * 64]
    assert "no file" in services.qgjob("builds", "show", "v2", "--org-id=acme").stderr
    for org, build in (("acme", "v3"), ("globex", "v1")):
        unknown = services.qgjob("builds", "show", build, f"--org-id={org}")
        assert (unknown.returncode, f"{org} has no build {build}." in unknown.stderr) == (4, True)


def test_builds_are_paged(services: Services, engine: Engine) -> None:
    url = services.api()
    for version in ("v1", "v2", "v3"):
        add(engine, app_version_id=version)
    first = services.get("/builds?org_id=acme&limit=2")
    assert [build["app_version_id"] for build in first["builds"]] == ["v3", "v2"]
    before = first["next_before"].replace("+", "%2B")
    assert [build["app_version_id"] for build in services.get(f"/builds?limit=2&before={before}")["builds"]] == ["v1"]
    assert services.get("/builds?org_id=globex")["builds"] == []
    assert url


def test_an_artifact_never_loses_its_build(engine: Engine) -> None:
    add(engine)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        engine.rows("delete from qgjob.build returning 1")
