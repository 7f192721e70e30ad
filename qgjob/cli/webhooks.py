"""`qgjob webhooks`: who is told of what, and how the telling goes."""

import time
from typing import Annotated
from uuid import uuid4

import typer

from qgjob.cli import naming, options, output, settings, words
from qgjob.cli.paging import page_of, say_more
from qgjob.client import Client
from qgjob.errors import Exit, TimedOut, Usage
from qgjob.models.webhooks import Delivery
from qgjob.transport import Params

EPILOG = options.examples(
    "qgjob webhooks add --org-id=qualgent --url=https://ci.example.com/hook", "qgjob webhooks test 1"
)
ADD_EPILOG = options.examples(
    "qgjob webhooks add --org-id=qualgent --url=https://ci.example.com/hook --event=run.finished --event='job.*'",
    "qgjob webhooks add --org-id=qualgent --url=https://hooks.slack.com/services/… --format=slack",
)
LIST_EPILOG = options.examples("qgjob webhooks list --org-id=qualgent")
UPDATE_EPILOG = options.examples(
    "qgjob webhooks update 1 --event=run.finished",
    "qgjob webhooks update 1 --enable",
    "qgjob webhooks update 1 --rotate",
)
REMOVE_EPILOG = options.examples("qgjob webhooks remove 1")
TEST_EPILOG = options.examples("qgjob webhooks test 1")
DELIVERIES_EPILOG = options.examples("qgjob webhooks deliveries 1 --status=dead")
REDRIVE_EPILOG = options.examples("qgjob webhooks redrive 1", "qgjob webhooks redrive 1 --delivery-id=7")

webhooks_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
WebhookId = Annotated[int, typer.Argument(metavar="WEBHOOK_ID", min=1)]
Url = Annotated[str | None, typer.Option("--url", help="Where to send it: https://…")]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        metavar="EVENT",
        help="run.submitted, run.finished, job.started, job.failed …; * stands for one word. Repeats.",
    ),
]
Format = Annotated[
    str | None, typer.Option("--format", help="json, slack, teams, or what the server has installed besides.")
]
Description = Annotated[str | None, typer.Option("--description", metavar="TEXT", help="One line for people.")]
Secret = Annotated[
    str | None,
    typer.Option("--secret", envvar="QGJOB_WEBHOOK_SECRET", metavar="whsec_…", help="Your own, instead of a new one."),
]
POLL_S = 0.2


@webhooks_app.callback(epilog=EPILOG)
def webhooks() -> None:
    """Tell other systems and chats what happens: add, list, update, remove, test, and look at deliveries."""


@webhooks_app.command(epilog=ADD_EPILOG)
def add(
    *,
    org_id: options.OrgId = None,
    url: Annotated[str, typer.Option("--url", help="Where to send it: https://…")],
    event: Events = None,
    format_name: Format = None,
    description: Description = None,
    secret: Secret = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Tell a url of events from now on. The secret that deliveries are signed with is shown only now."""
    org = settings.organisation(org_id)
    given = {"url": url, "events": event, "format": format_name, "description": description, "secret": secret}
    addition = {"org_id": org} | {name: value for name, value in given.items() if value}
    client = settings.connect(server_url)
    naming.note_unknown(client, org)
    added = client.add_webhook(addition, key=uuid4().hex)
    if as_json:
        output.answer_json("webhook", added)
        return Exit.OK
    output.answer(
        f"Webhook {added.webhook_id} · {added.format} · {', '.join(added.events)} → {output.clean(added.url)}"
    )
    if added.format == "json":
        output.answer(f"secret: {added.secret}")
        output.say("keep the secret now: it is not shown again")
    output.say(f"try it: {words.command('webhooks', 'test', str(added.webhook_id))}")
    return Exit.OK


@webhooks_app.command("list", epilog=LIST_EPILOG)
def list_webhooks(
    *, org_id: options.OrgId = None, as_json: options.Json = False, server_url: options.ServerUrl = None
) -> int:
    """List webhooks, newest first, with how the last delivery went."""
    found = settings.connect(server_url).webhooks(org_id or settings.project().org_id)
    if as_json:
        output.answer_json("webhooks", found)
        return Exit.OK
    rows = [
        (
            str(one.webhook_id),
            one.org_id,
            one.format,
            ",".join(one.events),
            one.url,
            "enabled" if one.enabled else f"disabled: {one.disabled_reason}",
            str(one.pending),
            str(one.dead),
            "" if one.last_at is None else f"{words.moment(one.last_at)} {one.last_error or 'delivered'}",
        )
        for one in found
    ]
    output.rows("WEBHOOK ORG FORMAT EVENTS URL STATUS PENDING DEAD LAST", rows, empty="no webhook")
    return Exit.OK


@webhooks_app.command(epilog=UPDATE_EPILOG)
def update(
    webhook_id: WebhookId,
    *,
    url: Url = None,
    event: Events = None,
    format_name: Format = None,
    description: Description = None,
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether it is told of what happens.")
    ] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="Sign with a new secret, which is shown only now.")] = False,
    overlap_h: Annotated[
        int, typer.Option("--overlap-hours", min=0, max=168, help="With --rotate: the old one signs as well so long.")
    ] = 24,
    secret: Secret = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Change a webhook, enable or disable it, or give it a new secret."""
    given = {"url": url, "events": event, "format": format_name, "description": description, "enabled": enable}
    change = {name: value for name, value in given.items() if value is not None and value != []}
    if secret is not None and not rotate:
        raise Usage("--secret goes with --rotate")
    if bool(change) == rotate:
        raise Usage("give either what is to be changed or --rotate", hint="qgjob webhooks update --help")
    client = settings.connect(server_url)
    if rotate:
        rotated = client.rotate_secret(webhook_id, {"overlap_h": overlap_h, "secret": secret})
        if as_json:
            output.answer_json("webhook_secret", rotated)
            return Exit.OK
        output.answer(f"secret: {rotated.secret}")
        until = words.moment(rotated.old_secret_until)
        output.say(f"the old one signs as well until {until}" if until else "the old one is void")
        return Exit.OK
    changed = client.update_webhook(webhook_id, change)
    if as_json:
        output.answer_json("webhook", changed)
        return Exit.OK
    state = "enabled" if changed.enabled else "disabled"
    output.answer(f"Webhook {changed.webhook_id} · {state} · {changed.format} · {', '.join(changed.events)}")
    return Exit.OK


@webhooks_app.command(epilog=REMOVE_EPILOG)
def remove(webhook_id: WebhookId, *, as_json: options.Json = False, server_url: options.ServerUrl = None) -> int:
    """Remove a webhook, with what waits for it and its dead letters."""
    removed = settings.connect(server_url).remove_webhook(webhook_id)
    if as_json:
        output.answer_json("webhook_removed", removed)
    else:
        discarded = words.count(removed.discarded, "delivery", "deliveries")
        lost = f" · {discarded} discarded" if removed.discarded else ""
        output.answer(f"Webhook {removed.webhook_id} removed{lost}")
    return Exit.OK


@webhooks_app.command("test", epilog=TEST_EPILOG)
def send_test(
    webhook_id: WebhookId,
    *,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", help="Wait at most this long for its answer, then exit 124.")
    ] = "60s",
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Send a webhook.test, and say how it was received. Exit 3: it was not."""
    limit_s = words.seconds(timeout, option="--timeout")
    client = settings.connect(server_url)
    delivery = outcome(client, webhook_id, client.send_test(webhook_id).delivery_id, limit_s)
    arrived = delivery.status == "delivered"
    if as_json:
        output.answer_json("delivery", delivery)
    elif arrived:
        output.answer(f"Delivered · HTTP {delivery.status_code or '-'} · {words.duration(delivery.duration_s)}")
    else:
        output.answer(f"Not delivered · {output.one_line(delivery.error or '')}")
    return Exit.OK if arrived else Exit.NO_VERDICT


def outcome(client: Client, webhook_id: int, delivery_id: int, limit_s: float) -> Delivery:
    """Until it has been tried."""
    until = time.monotonic() + limit_s
    while True:
        (delivery,) = client.deliveries(webhook_id, [("delivery_id", delivery_id)]).deliveries
        if delivery.status != "pending":
            return delivery
        if time.monotonic() >= until:
            raise TimedOut(
                f"delivery {delivery_id} has not been tried yet", hint="do API processes run with its format installed?"
            )
        time.sleep(POLL_S)


@webhooks_app.command(epilog=DELIVERIES_EPILOG)
def deliveries(
    webhook_id: WebhookId,
    *,
    status: Annotated[
        options.DeliveryStatusName | None, typer.Option("--status", help="Only deliveries of this status.")
    ] = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """List what was or is to be delivered, newest first."""
    asked: Params = [*([("status", status.value)] if status else []), ("limit", limit)]
    page = settings.connect(server_url).deliveries(webhook_id, page_of(asked, cursor))
    if as_json:
        output.answer_json("deliveries", page)
        return Exit.OK
    rows = [
        (
            str(one.delivery_id),
            one.event,
            one.status,
            str(one.tries),
            words.moment(one.created_at) or "",
            words.moment(one.next_at) or "",
            one.error or ("" if one.status_code is None else f"HTTP {one.status_code}"),
        )
        for one in page.deliveries
    ]
    output.rows("DELIVERY EVENT STATUS TRIES CREATED NEXT ANSWER", rows, empty="no delivery")
    say_more("webhooks", "deliveries", str(webhook_id), asked=asked, next_cursor=page.next_cursor)
    return Exit.OK


@webhooks_app.command(epilog=REDRIVE_EPILOG)
def redrive(
    webhook_id: WebhookId,
    *,
    delivery_id: Annotated[
        int | None, typer.Option("--delivery-id", min=1, metavar="ID", help="This one only; otherwise all.")
    ] = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Deliver again what is dead, under the ids that it had."""
    redriven = settings.connect(server_url).redrive(webhook_id, delivery_id)
    if as_json:
        output.answer_json("redriven", redriven)
    else:
        output.answer(f"{redriven.redriven} redriven")
    return Exit.OK
