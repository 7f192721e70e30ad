"""Who is told of events, and how the telling goes."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

DeliveryStatus = Literal["pending", "delivered", "failed", "dead"]


class Webhook(Struct):
    """Where an organisation is told of events. `url` is shortened where it may hold a credential. `dead`: deliveries
    that were given up, and can be redriven."""

    webhook_id: int
    org_id: str
    url: str
    events: list[str]
    format: str
    description: str
    enabled: bool
    disabled_reason: str | None
    created_at: datetime
    pending: int
    dead: int
    last_at: datetime | None
    last_status_code: int | None
    last_error: str | None


class WebhookAdded(Struct):
    """The answer to POST /webhooks, the only one with the secret."""

    webhook_id: int
    org_id: str
    url: str
    events: list[str]
    format: str
    description: str
    enabled: bool
    secret: str
    created_at: datetime


class SecretRotated(Struct):
    """A webhook's new secret. Until `old_secret_until` the old one signs as well; null: it is void."""

    webhook_id: int
    secret: str
    old_secret_until: datetime | None


class WebhookRemoved(Struct):
    """`discarded`: deliveries that were still waiting."""

    webhook_id: int
    discarded: int


class TestSent(Struct):
    """A webhook.test on its way; GET /webhooks/{id}/deliveries?delivery_id=… says how it went."""

    delivery_id: int
    webhook_id: int
    message_id: str


class Delivery(Struct):
    """One event for one webhook. `message_id` is the webhook-id of every try; `error` is of the last one.
    `failed`: a webhook.test that did not arrive; it is not tried again, and never `dead`."""

    delivery_id: int
    webhook_id: int
    message_id: str
    event: str
    status: DeliveryStatus
    tries: int
    status_code: int | None
    error: str | None
    duration_s: float | None
    next_at: datetime | None
    created_at: datetime
    ended_at: datetime | None


class DeliveryPage(Struct):
    """GET /webhooks/{id}/deliveries: newest first, paged like GET /jobs."""

    deliveries: list[Delivery]
    next_cursor: int | None


class Redriven(Struct):
    """How many dead deliveries are tried again."""

    redriven: int
