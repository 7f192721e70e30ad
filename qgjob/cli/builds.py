"""`qgjob builds`: what is installed for an app version. A file is sent once, and named by its hash from then on."""

import hashlib
from pathlib import Path
from typing import Annotated, BinaryIO
from urllib.parse import urlsplit

import typer

from qgjob.cli import apps, naming, options, output, settings, words
from qgjob.client import Client
from qgjob.errors import Exit, Refused, Usage
from qgjob.models.builds import Artifact, ArtifactAdded, Build
from qgjob.models.words import SUFFIXES, Platform
from qgjob.transport import PIECE, STREAM_S, Params

EPILOG = options.examples(
    "qgjob builds add --org-id=qualgent --app-version-id=v1.2.3 --android=app.apk",
    "qgjob builds list",
    "qgjob builds show v1.2.3",
)
ADD_EPILOG = options.examples(
    "qgjob builds add --org-id=qualgent --app-version-id=v1.2.3 --android=app.apk --ios=app.ipa",
    "qgjob builds add --org-id=qualgent --app-version-id=v1.2.3 --android=https://ci.example/app.apk",
    "qgjob builds add --org-id=qualgent --app-version-id=v1.2.3 --ios=bs://c700ce60… --sha256=9f86d0…",
)
SHOW_EPILOG = options.examples("qgjob builds show v1.2.3 --org-id=qualgent")
LIST_EPILOG = options.examples("qgjob builds list --org-id=qualgent --limit=10")

READABLE_HERE = ("http://", "https://")
HASH_HINT = "its content is what devices are told to hold: give --sha256; sha256sum FILE prints it"

builds_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@builds_app.callback(epilog=EPILOG)
def builds() -> None:
    """Add, list and show builds: the files that are installed for an app version. A build never changes."""


@builds_app.command(epilog=ADD_EPILOG)
def add(
    *,
    org_id: options.OrgId = None,
    app_version_id: Annotated[
        str | None,
        typer.Option(
            "--app-version-id", envvar="QGJOB_APP_VERSION_ID", metavar="BUILD", help="The version of the app."
        ),
    ] = None,
    android: Annotated[
        str | None, typer.Option("--android", metavar="FILE|URL", help="An .apk or .aab, or where workers find it.")
    ] = None,
    ios: Annotated[
        str | None, typer.Option("--ios", metavar="FILE|URL", help="An .ipa or .zip, or where workers find it.")
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", metavar="HEX", help="Of the content, which is read once for it if this is not given."),
    ] = None,
    app_id: Annotated[
        str | None, typer.Option("--app-id", metavar="ID", help="Package name or bundle identifier of the app.")
    ] = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Say what is installed for a build: a file here, which is uploaded, or a URL (https://, file:///, bs://)."""
    project = settings.project()
    org = settings.required("org_id", org_id, project.org_id)
    version = settings.required("app_version_id", app_version_id, project.app_version_id)
    named: dict[Platform, str | None] = {"android": android, "ios": ios}
    chosen: dict[Platform, str] = {platform: source for platform, source in named.items() if source is not None}
    if not chosen:
        raise Usage("give --android, --ios, or both")
    if len(chosen) > 1 and (sha256 or app_id):
        raise Usage("--sha256 and --app-id are of one file: add the platforms one by one")
    for platform, source in chosen.items():
        check(platform, source, sha256)
    client = settings.connect(server_url)
    added = [
        (by_url if is_url(source) else by_file)(client, org, version, platform, source, sha256, app_id)
        for platform, source in chosen.items()
    ]
    if as_json:
        output.answer_json("artifacts", added)
        return Exit.OK
    for one in added:
        known = "" if one.added else " · known already"
        output.answer(f"Build {one.app_version_id} · {one.platform} · sha256 {one.sha256[:12]}…{known}")
    return Exit.OK


@builds_app.command("list", epilog=LIST_EPILOG)
def list_builds(
    *,
    org_id: options.OrgId = None,
    limit: options.Limit = 50,
    before: Annotated[str | None, typer.Option("--before", metavar="TIME", help="Created before this.")] = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """List builds of an organisation, newest first."""
    org = settings.organisation(org_id)
    params: list[tuple[str, str | int]] = [("org_id", org), ("limit", limit)]
    page = settings.connect(server_url).builds(params + ([("before", before)] if before else []))
    if as_json:
        output.answer_json("builds", page)
        return Exit.OK
    rows = [row for build in page.builds for row in rows_of(build)]
    output.rows("BUILD CREATED PLATFORM SIZE SHA256 APP WHERE", rows, empty="no build")
    if page.next_before is not None:
        flags = (f"--org-id={org}", f"--limit={limit}", f"--before={page.next_before.isoformat()}")
        output.say(f"more: {words.command('builds', 'list', *flags)}")
    return Exit.OK


@builds_app.command(epilog=SHOW_EPILOG)
def show(
    app_version_id: Annotated[
        str, typer.Argument(metavar="APP_VERSION_ID", help="As `qgjob builds list` lists it.", callback=naming.given)
    ],
    *,
    org_id: options.OrgId = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Show one build: its file for each platform, with its whole hash."""
    org = settings.organisation(org_id)
    build = settings.connect(server_url).build(org, app_version_id)
    if as_json:
        output.answer_json("build", build)
        return Exit.OK
    facts = [
        ("build", build.app_version_id),
        ("organisation", build.org_id),
        ("created", words.moment(build.created_at)),
    ]
    for one in build.artifacts:
        facts += [
            (one.platform, where(one)),
            ("sha256", one.sha256),
            ("size", None if one.size is None else words.size(one.size)),
            ("app", one.app_id),
            ("added", words.moment(one.created_at)),
        ]
    output.answer(output.fields(facts))
    if not build.artifacts:
        output.say("no file: workers install nothing for it")
    flags = (f"--org-id={build.org_id}", f"--app-version-id={build.app_version_id}")
    output.say(f"its runs: {words.command('runs', *flags)}")
    return Exit.OK


def where(artifact: Artifact) -> str:
    return "uploaded" if artifact.url.startswith("builds/") else artifact.url


def rows_of(build: Build) -> list[tuple[str, ...]]:
    created = words.moment(build.created_at) or ""
    return [
        (
            build.app_version_id,
            created,
            one.platform,
            "" if one.size is None else words.size(one.size),
            one.sha256[:12],
            one.app_id or "",
            where(one),
        )
        for one in build.artifacts
    ] or [(build.app_version_id, created, "", "", "", "", "")]


def is_url(source: str) -> bool:
    return "://" in source


def check(platform: Platform, source: str, sha256: str | None) -> None:
    """Everything that can be known before anything is sent."""
    if is_url(source):
        try:
            urlsplit(source)
        except ValueError as error:
            raise Usage(f"--{platform}={source} is no URL: {error}") from error
        if sha256 is None and not source.startswith(READABLE_HERE):
            raise Usage(f"--{platform}={source} needs --sha256", hint=HASH_HINT)
        return
    file = Path(source)
    if file.is_dir():
        raise Usage(f"{file} is a folder", hint="a simulator's .app is sent as a .zip of that folder")
    if apps.suffix_of(file.name) not in SUFFIXES[platform]:
        raise Usage(f"--{platform}: {file} does not end in .{' or .'.join(SUFFIXES[platform])}")
    try:
        if file.stat().st_size == 0:
            raise Usage(f"{file} is empty")
        apps.check(file)
    except OSError as error:
        raise Usage(f"cannot read {file}: {error.strerror}") from error


def by_url(
    client: Client, org: str, version: str, platform: Platform, url: str, sha256: str | None, app_id: str | None
) -> ArtifactAdded:
    addition = {"org_id": org, "app_version_id": version, "platform": platform, "url": url}
    return client.add_artifact({**addition, "sha256": sha256 or digest_at(platform, url), "app_id": app_id})


def by_file(
    client: Client, org: str, version: str, platform: Platform, source: str, sha256: str | None, app_id: str | None
) -> ArtifactAdded:
    """First by its hash: what the organisation has sent before is not sent again."""
    suffix = apps.suffix_of(source)
    try:
        with Path(source).open("rb") as file:
            content, size = digest(file)
            if sha256 is not None and sha256.lower() != content:
                raise Usage(f"{source} is not what --sha256 says: its SHA-256 is {content}")
            addition = {"org_id": org, "app_version_id": version, "platform": platform, "sha256": content}
            try:
                return client.add_artifact({**addition, "app_id": app_id, "suffix": suffix, "size": size})
            except Refused as refused:
                if refused.code != "content_is_stored":
                    raise
            output.say(f"uploading {Path(source).name}, {words.size(size)}")
            params: Params = [("sha256", content), ("suffix", suffix), *([("app_id", app_id)] if app_id else [])]
            return client.upload(org, version, platform, file, size, params)
    except OSError as error:
        raise Usage(f"cannot read {source}: {error.strerror}") from error


def digest(file: BinaryIO) -> tuple[str, int]:
    """The SHA-256 and the size."""
    hashed, size = hashlib.sha256(), 0
    while piece := file.read(PIECE):
        hashed.update(piece)
        size += len(piece)
    return hashed.hexdigest(), size


def digest_at(platform: Platform, url: str) -> str:
    """The SHA-256 of what workers will find there, byte for byte."""
    import httpx

    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # without the secret of a signed address
    output.say(f"reading {shown} for its SHA-256")
    hashed = hashlib.sha256()
    headers = {"accept-encoding": "identity"}
    try:
        with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=STREAM_S) as response:
            if not response.is_success:
                raise Usage(f"--{platform}={shown} cannot be read: HTTP {response.status_code}", hint=HASH_HINT)
            for number, piece in enumerate(response.iter_raw(PIECE)):
                if number == 0:
                    apps.check_beginning(f"--{platform}={shown}", parts.path, piece)
                hashed.update(piece)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = str(error) or type(error).__name__
        raise Usage(f"--{platform}={shown} cannot be read: {why}", hint=HASH_HINT) from error
    return hashed.hexdigest()
