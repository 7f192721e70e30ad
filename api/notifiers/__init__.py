"""How a receiver is told. A notifier is found by its name, the webhook's `format`, among the entry points
`qgjob.notifiers`; the built-in formats are registered there like any other.

Deliveries, retries, dead letters, signatures, time limits and the guard against private addresses are the API's; a
notifier decides what is said, and in what form. For each try, `notify` is called once:

- A format says something else over HTTP: it returns what `post` returned. `post` signs the body with the webhook's
  secrets and sends it to the webhook's url, once, without following redirects.
- A transport of its own sends by other means, and returns when the receiver has it. NotDelivered says that it does not.

Whatever else it raises counts as not delivered, too, and so does taking longer than QGJOB_WEBHOOK_TIMEOUT_S. It runs
on the event loop of the API: what blocks belongs into a thread. The same notice may come more than once, with the same
message_id.
"""

import logging
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

from msgspec import Struct

log = logging.getLogger("api")


class Notice(Struct, frozen=True):
    """What is to be told. `event`: {"type", "timestamp", "data"}. `link`: a page about it, where there is one."""

    message_id: str
    org_id: str
    webhook_id: int
    url: str
    event: dict[str, Any]
    link: str | None = None

    @property
    def data(self) -> dict[str, Any]:
        """What the event says."""
        data: dict[str, Any] = self.event.get("data") or {}
        return data


class NotDelivered(Exception):
    """The receiver does not have it. The message is shown to the owner of the webhook: say what they can act on, and
    nothing that the receiver answered. After `retry_after_s` the next try makes sense."""

    def __init__(self, why: str, *, status_code: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.status_code = status_code
        self.retry_after_s = retry_after_s


class Post(Protocol):
    async def __call__(self, body: bytes, content_type: str = "application/json") -> int:
        """Send this to the webhook's url. The status code, which is 2xx. Raises NotDelivered."""
        ...


class Notifier(Protocol):
    """One instance serves every webhook of its format, concurrently. It is made without arguments."""

    @property
    def schemes(self) -> Sequence[str]:
        """What the url of a webhook may begin with: `("https", "http")` for what uses `post`."""
        ...

    async def notify(self, notice: Notice, post: Post) -> int | None:
        """Tell it once. The HTTP status code, where there is one. Raises NotDelivered."""
        ...


def load() -> dict[str, Notifier]:
    """Every notifier that is installed and can be used, by its format. One that is broken is named in the log."""
    found: dict[str, Notifier] = {}
    for entry in entry_points(group="qgjob.notifiers"):
        try:
            found[entry.name] = entry.load()()
        except Exception:  # a plug-in may do anything
            log.warning("the notifier %r (%s) cannot be used", entry.name, entry.value, exc_info=True)
    return found
