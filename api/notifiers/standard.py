"""The format `json`: the event as it is, as the Standard Webhooks specification has it."""

import msgspec

from api.notifiers import Notice, Post


class StandardNotifier:
    schemes = ("https", "http")

    async def notify(self, notice: Notice, post: Post) -> int:
        return await post(msgspec.json.encode(notice.event))
