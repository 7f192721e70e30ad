"""`qgjob artifacts`: the files that a job's attempts left behind. Their names were chosen by tests: never trusted."""

import fnmatch
import re
from pathlib import Path
from typing import Annotated

import typer

from qgjob.cli import options, output, settings, words
from qgjob.client import Client
from qgjob.errors import Exit, Refused, Unavailable, Usage
from qgjob.models.attempts import AttemptFile

EPILOG = options.examples("qgjob artifacts list --job-id=34", "qgjob artifacts download --job-id=34 --output=evidence")
LIST_EPILOG = options.examples("qgjob artifacts list --job-id=34", "qgjob artifacts list --job-id=34 --json")
DOWNLOAD_EPILOG = options.examples(
    "qgjob artifacts download --job-id=34",
    "qgjob artifacts download --job-id=34 --attempt=1 --name='*.png' --output=evidence",
)

artifacts_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
Attempt = Annotated[int | None, typer.Option("--attempt", min=1, metavar="N", help="Of this attempt only.")]
Name = Annotated[str | None, typer.Option("--name", metavar="GLOB", help="Only files whose names match.")]


@artifacts_app.callback(epilog=EPILOG)
def artifacts() -> None:
    """List and download what a job's attempts left behind: screenshots, logs, traces."""


@artifacts_app.command("list", epilog=LIST_EPILOG)
def list_files(
    *,
    job_id: options.RequiredJobId,
    attempt: Attempt = None,
    name: Name = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """List the files of a job's attempts."""
    found = wanted(settings.connect(server_url), job_id, attempt, name)
    if as_json:
        output.answer_json("artifacts", found)
        return Exit.OK
    rows = [
        (str(file.attempt), str(file.number), words.size(file.size), file.content_type, file.name) for file in found
    ]
    output.rows("ATTEMPT FILE SIZE TYPE NAME", rows, empty="no file")
    return Exit.OK


@artifacts_app.command(epilog=DOWNLOAD_EPILOG)
def download(
    *,
    job_id: options.RequiredJobId,
    attempt: Attempt = None,
    name: Name = None,
    folder: Annotated[
        str | None, typer.Option("--output", "-o", metavar="DIR", help="Into this folder. Default: job-ID.")
    ] = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Download files of a job's attempts, as ATTEMPT-FILE-NAME. What is there already is never overwritten."""
    client = settings.connect(server_url)
    found = wanted(client, job_id, attempt, name)
    if not found:
        raise Refused(f"job {job_id} has no such file", hint="qgjob artifacts list --job-id says what there is")
    into = Path(folder or f"job-{found[0].job_id}")
    targets = [into / file_name(file) for file in found]
    if there := next((target for target in targets if target.exists() or target.is_symlink()), None):
        raise Usage(f"{there} exists already: nothing was downloaded", hint="name another folder with --output")
    try:
        into.mkdir(parents=True, exist_ok=True)
        for file, target in zip(found, targets, strict=True):
            save(client, file, target)
            if not as_json:
                output.answer(str(target))
    except OSError as error:
        raise Usage(f"cannot write {error.filename or into}: {error.strerror}") from error
    if as_json:
        output.answer_json("downloads", [str(target) for target in targets])
    return Exit.OK


def wanted(client: Client, job_id: str, attempt: int | None, name: str | None) -> list[AttemptFile]:
    return [
        file
        for file in client.files(job_id)
        if (attempt is None or file.attempt == attempt) and (name is None or fnmatch.fnmatchcase(file.name, name))
    ]


def save(client: Client, file: AttemptFile, target: Path) -> None:
    """All of it or nothing: a part of it does not stay behind."""
    with target.open("xb") as stream:  # refuses what has come meanwhile, symlinks too
        try:
            size = client.download(file, stream)
            if size != file.size:
                raise Unavailable(f"{file.name} is {size} bytes long, not {file.size} as the attempt says")
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def file_name(file: AttemptFile) -> str:
    """One path segment on any system, and different for each file. The prefix disarms `..`, `-x` and `CON`."""
    last = re.split(r"[/\\]", output.clean(file.name))[-1]
    safe = re.sub(r'[\x00-\x1f<>:"|?*]', "_", last).strip(" .") or "file"
    stem, dot, suffix = safe.rpartition(".")
    if len(safe.encode()) > 150:
        stem, suffix = (stem if dot else safe), (suffix if dot and len(suffix) <= 10 else "")
        safe = stem.encode()[:120].decode(errors="ignore") + (f".{suffix}" if suffix else "")
    return f"{file.attempt}-{file.number}-{safe}"
