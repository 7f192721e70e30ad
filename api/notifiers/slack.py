"""The format `slack`: a message of an incoming webhook. Only block types that Slack shows letter by letter are used, so
a test named <!channel> calls nobody."""

from typing import Any

import msgspec

from api.notifiers import Notice, Post
from api.notifiers.summary import Summary, summary


class SlackNotifier:
    schemes = ("https", "http")

    async def notify(self, notice: Notice, post: Post) -> int:
        return await post(msgspec.json.encode(message(summary(notice))))


def message(told: Summary) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": told.title[:150], "emoji": False}}
    ]
    sections = [
        {
            "type": "rich_text_section",
            "elements": [
                {"type": "text", "text": line.name, "style": {"bold": True}},
                {"type": "text", "text": f": {line.text}\n"},
            ],
        }
        for line in told.lines
    ]
    if sections:
        blocks.append({"type": "rich_text", "elements": sections})
    if told.link:
        button = {"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": told.link}
        blocks.append({"type": "actions", "elements": [button]})
    # For notifications on phones, where blocks are not shown.
    return {"text": escaped(told.title), "mrkdwn": False, "blocks": blocks}


def escaped(text: str) -> str:
    """Slack's three characters, without which it finds neither mentions nor links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
