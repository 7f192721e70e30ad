"""Where settings come from: flag, then environment, then the project's `.qgjob.toml`, then the default.

typer reads flags and environment. The project file may name neither server nor token: whoever can change a file of the
repository, in a pull request for example, could send the token elsewhere.
"""

import os
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from qgjob import oidc, tracing
from qgjob.cli import credentials, documents, output, words
from qgjob.client import Client
from qgjob.errors import Usage
from qgjob.models.words import Priority, Reset, Retries

DEFAULT_SERVER_URL = "http://127.0.0.1:8080"
PROJECT_FILE = ".qgjob.toml"
NEVER_IN_A_PROJECT = {"server_url", "token"}


class Project(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `.qgjob.toml` may say."""

    org_id: str | None = None
    app_version_id: str | None = None
    target: str | list[str] | None = None
    priority: Priority | None = None
    reset: Reset | None = None
    retries: Retries | None = None
    job_timeout: str | None = None
    labels: dict[str, str] = {}

    @property
    def targets(self) -> list[str]:
        return [self.target] if isinstance(self.target, str) else self.target or []


def project() -> Project:
    """The nearest `.qgjob.toml` upwards in this repository; outside of one, that of the current folder."""
    here = Path.cwd()
    upwards = [here, *here.parents]
    depth = next((depth for depth, folder in enumerate(upwards) if (folder / ".git").exists()), 0)
    files = (folder / PROJECT_FILE for folder in upwards[: depth + 1])
    return next((read_project(file) for file in files if file.is_file()), Project())


def read_project(file: Path) -> Project:
    text, content = documents.parsed(file)
    if forbidden := sorted(NEVER_IN_A_PROJECT & content.keys()):
        raise Usage(
            f"{file} sets {forbidden[0]}: a project file may not", hint="set QGJOB_SERVER_URL and QGJOB_TOKEN instead"
        )
    return documents.fitting(file, text, content, Project)


def required(key: Literal["org_id", "app_version_id"], *said: str | None) -> str:
    """A setting that a command cannot do without: the first that was said, by the flag or the variable before all."""
    for value in said:
        if value:
            return value
    flag, variable = f"--{key.replace('_', '-')}", f"QGJOB_{key.upper()}"
    raise Usage(f"missing {flag}", hint=f'give {flag}, set {variable}, or put `{key} = "…"` into {PROJECT_FILE}')


def organisation(given: str | None) -> str:
    """The one that a command is about."""
    return required("org_id", given, project().org_id)


def chosen_server_url(given: str | None) -> str:
    """As it was given, else the default; in a step of CI a variable that was not set is a mistake."""
    url = os.environ.get("QGJOB_SERVER_URL", DEFAULT_SERVER_URL) if given is None else given
    if not url.strip() and output.in_github_step():
        raise Usage("server-url is empty", hint="set the variable QGJOB_SERVER_URL")
    return url.strip() or DEFAULT_SERVER_URL


def connect(server_url: str | None, org_id: str | None = None) -> Client:
    """The client that the flags and the environment describe. `org_id` helps a job of GitHub Actions whose repository
    more than one organisation trusts."""
    url = chosen_server_url(server_url)
    token = credentials.token_for(url)
    chosen = org_id or os.environ.get("QGJOB_ORG_ID") or None
    offered = token is None and oidc.is_offered(url)
    exchange = partial(oidc.exchange, url, chosen, mask=output.mask) if offered else None
    return Client(
        url,
        token=token,
        exchange=exchange,
        retry_for_s=retry_for_s(),
        say=output.say,
        traceparent=tracing.of_command(),
    )


def retry_for_s() -> float:
    return words.seconds(os.environ.get("QGJOB_RETRY_FOR", "60"), option="QGJOB_RETRY_FOR")
