"""/webhooks: who is told of what, how that goes, and trying again. Sending is the business of api/deliveries.py."""

from collections.abc import Mapping
from typing import Annotated

from litestar import Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody
from msgspec import Meta, Struct, field

import sql
from api.access import needs
from api.notifiers import Notifier
from api.parameters import Cursor, Db, Id, Key, Limit, QueryId
from api.problems import Wrong
from api.sending import Sender
from qgjob.addresses import AddressRefused
from qgjob.models.webhooks import (
    Delivery,
    DeliveryPage,
    DeliveryStatus,
    Redriven,
    SecretRotated,
    TestSent,
    Webhook,
    WebhookAdded,
    WebhookRemoved,
)


class WebhookAddition(Struct, forbid_unknown_fields=True):
    """POST /webhooks. Without a secret it is given one."""

    org_id: str
    url: str
    events: list[str] = field(default_factory=lambda: ["run.finished"])
    format: str = "json"
    description: str = ""
    secret: str | None = None


class WebhookChanges(Struct, forbid_unknown_fields=True):
    """PATCH /webhooks/{id}. What is left out stays."""

    url: str | None = None
    events: list[str] | None = None
    format: str | None = None
    description: str | None = None
    enabled: bool | None = None


class Rotation(Struct, forbid_unknown_fields=True):
    """POST /webhooks/{id}/rotate-secret. For so many hours the old secret signs as well."""

    overlap_h: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 24
    secret: str | None = None


class Receivers:
    """What this API process can send to: a mistake is told where it is made, and not by deliveries that fail."""

    def __init__(self, sender: Sender, notifiers: Mapping[str, Notifier]) -> None:
        self._sender = sender
        self._notifiers = notifiers

    async def check(self, url: str | None, format_name: str | None, org_id: str | None) -> None:
        """`org_id`: on whose account."""
        notifier = None
        if format_name is not None:
            notifier = self._notifiers.get(format_name)
            if notifier is None:
                raise Wrong(
                    "format_is_installed",
                    f"There is no notifier for the format {format_name[:64]!r}.",
                    field="format",
                    hint=f"This API has {', '.join(sorted(self._notifiers))}.",
                )
        if url is None:
            return
        scheme = url.partition(":")[0].lower()
        if notifier is not None and scheme not in notifier.schemes:
            raise Wrong(
                "webhook_url_is_usable",
                f"The url of a webhook of the format {format_name} begins with {' or '.join(notifier.schemes)}.",
                field="url",
            )
        if scheme in ("http", "https"):
            try:
                await self._sender.check(url, org_id)
            except AddressRefused as refused:
                raise Wrong(
                    "webhook_address_is_allowed",
                    str(refused),
                    field="url",
                    hint="Webhooks go to public addresses over https. Whoever operates the API can allow networks "
                    "in QGJOB_WEBHOOK_ALLOW.",
                ) from None


@get("/", opt=needs("admin"), summary="List webhooks, newest first")
async def list_webhooks(db: Db, org_id: FromQuery[str | None] = None) -> list[Webhook]:
    return await sql.many(db, Webhook, "list_webhooks", org_id=org_id or db.org_id)


@post("/", summary="Tell a url of events from now on")
async def add_webhook(
    data: JSONBody[WebhookAddition], db: Db, receivers: NamedDependency[Receivers], idempotency_key: Key = None
) -> WebhookAdded:
    await receivers.check(data.url, data.format, db.org_id or data.org_id)
    return await sql.one(
        db,
        WebhookAdded,
        "add_webhook",
        org_id=data.org_id,
        url=data.url,
        events=data.events,
        format=data.format,
        description=data.description,
        secret=data.secret,
        idempotency_key=idempotency_key,
    )


@patch("/{webhook_id:int}", summary="Change, enable or disable a webhook")
async def update_webhook(
    webhook_id: Id, data: JSONBody[WebhookChanges], db: Db, receivers: NamedDependency[Receivers]
) -> Webhook:
    await receivers.check(data.url, data.format, db.org_id)
    return await sql.one(
        db,
        Webhook,
        "update_webhook",
        webhook_id=webhook_id,
        url=data.url,
        events=data.events,
        format=data.format,
        description=data.description,
        enabled=data.enabled,
        org_id=db.org_id,
    )


@post("/{webhook_id:int}/rotate-secret", status_code=200, summary="Sign with a new secret, and for a while with both")
async def rotate_secret(webhook_id: Id, data: JSONBody[Rotation], db: Db) -> SecretRotated:
    return await sql.one(
        db,
        SecretRotated,
        "rotate_webhook_secret",
        webhook_id=webhook_id,
        overlap_h=data.overlap_h,
        secret=data.secret,
        org_id=db.org_id,
    )


@delete("/{webhook_id:int}", status_code=200, summary="Remove a webhook, and what waits for it")
async def remove_webhook(webhook_id: Id, db: Db) -> WebhookRemoved:
    return await sql.one(db, WebhookRemoved, "remove_webhook", webhook_id=webhook_id, org_id=db.org_id)


@post("/{webhook_id:int}/test", summary="Send a webhook.test, once")
async def send_test(webhook_id: Id, db: Db) -> TestSent:
    return await sql.one(db, TestSent, "test_webhook", webhook_id=webhook_id, org_id=db.org_id)


@get("/{webhook_id:int}/deliveries", opt=needs("admin"), summary="What was or is to be delivered, newest first")
async def list_deliveries(
    webhook_id: Id,
    db: Db,
    status: FromQuery[DeliveryStatus | None] = None,
    delivery_id: QueryId = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DeliveryPage:
    deliveries = await sql.many(
        db,
        Delivery,
        "list_deliveries",
        webhook_id=webhook_id,
        status=status,
        limit=limit,
        cursor=cursor,
        delivery_id=delivery_id,
        org_id=db.org_id,
    )
    return DeliveryPage(deliveries, next_cursor=deliveries[-1].delivery_id if len(deliveries) == limit else None)


@post("/{webhook_id:int}/redrive", status_code=200, summary="Deliver again what is dead, all of it or one")
async def redrive(webhook_id: Id, db: Db, delivery_id: QueryId = None) -> Redriven:
    return await sql.one(
        db, Redriven, "redrive_deliveries", webhook_id=webhook_id, delivery_id=delivery_id, org_id=db.org_id
    )


router = Router(
    "/webhooks",
    route_handlers=[
        list_webhooks,
        add_webhook,
        update_webhook,
        rotate_secret,
        remove_webhook,
        send_test,
        list_deliveries,
        redrive,
    ],
    tags=["webhooks"],
)
