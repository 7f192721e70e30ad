"""`qgjob trust`: whose GitHub Actions submit without a stored token."""

from typing import Annotated

import typer

from qgjob.cli import options, output, settings
from qgjob.cli.naming import number_of
from qgjob.errors import Exit
from qgjob.models.tokens import Trust

EPILOG = options.examples(
    "qgjob trust add --org-id=qualgent --owner-id=9919 --repository-id=724712",
    "qgjob trust list",
    "qgjob trust remove 2",
)
ADD_EPILOG = options.examples(
    "qgjob trust add --org-id=qualgent --owner-id=9919 --repository-id=724712",
    "qgjob trust add --org-id=qualgent --owner-id=9919 --ref=refs/heads/main",
)
LIST_EPILOG = options.examples("qgjob trust list --org-id=qualgent")
REMOVE_EPILOG = options.examples("qgjob trust remove 2")

trust_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@trust_app.callback(epilog=EPILOG)
def trust() -> None:
    """Say whose GitHub Actions get a token to submit, for an hour, without any secret. Needs the scope admin."""


@trust_app.command(epilog=ADD_EPILOG)
def add(
    *,
    org_id: options.OrgId = None,
    owner_id: Annotated[
        str, typer.Option("--owner-id", metavar="NUMBER", help="GitHub's id of the owner: gh api users/OWNER --jq .id")
    ],
    repository_id: Annotated[
        str | None,
        typer.Option(
            "--repository-id",
            metavar="NUMBER",
            help="Of one repository: gh api repos/OWNER/NAME --jq .id. Without it, all of the owner's are trusted.",
        ),
    ] = None,
    ref: Annotated[str | None, typer.Option("--ref", help="Only there, such as refs/heads/main.")] = None,
    environment: Annotated[str | None, typer.Option("--environment", help="Only in this environment.")] = None,
    event: Annotated[str | None, typer.Option("--event", help="Only by this event, such as push.")] = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Trust a repository, or all of an owner. By number, because names can be given up and taken by somebody else."""
    org = settings.organisation(org_id)
    wanted = {
        "org_id": org,
        "repository_owner_id": owner_id,
        "repository_id": repository_id,
        "ref": ref,
        "environment": environment,
        "event_name": event,
    }
    added = settings.connect(server_url).add_trust(wanted)
    if as_json:
        output.answer_json("trust", added)
    else:
        output.answer(f"Trust {added.trust_id} · {added.org_id} · {whom(added)}")
    return Exit.OK


@trust_app.command("list", epilog=LIST_EPILOG)
def list_trusts(
    *, org_id: options.OrgId = None, as_json: options.Json = False, server_url: options.ServerUrl = None
) -> int:
    """List whose GitHub Actions are trusted."""
    found = settings.connect(server_url).trusts(org_id)
    if as_json:
        output.answer_json("trusts", found)
        return Exit.OK
    rows = [
        (
            str(one.trust_id),
            one.org_id,
            one.repository_owner_id,
            one.repository_id or "any",
            one.ref or "any",
            one.environment or "any",
            one.event_name or "any",
        )
        for one in found
    ]
    output.rows("TRUST ORGANISATION OWNER REPOSITORY REF ENVIRONMENT EVENT", rows, empty="nobody is trusted")
    return Exit.OK


@trust_app.command(epilog=REMOVE_EPILOG)
def remove(
    trust_id: Annotated[str, typer.Argument(metavar="TRUST_ID", callback=number_of("trust", "qgjob trust list"))],
    *,
    server_url: options.ServerUrl = None,
) -> int:
    """Trust it no longer, and revoke the tokens that it was given."""
    settings.connect(server_url).remove_trust(trust_id)
    output.answer(f"Trust {trust_id} is removed")
    return Exit.OK


def whom(one: Trust) -> str:
    where = [f"repository {one.repository_id}" if one.repository_id else "all repositories"]
    where += [word for word in (one.ref, one.environment, one.event_name) if word]
    return f"owner {one.repository_owner_id}, {', '.join(where)}"
