"""The format `teams`: an Adaptive Card as the workflow "Post to a channel when a webhook request is received" takes it.
Text goes into runs of a RichTextBlock, which know no Markdown, so a test's name is only its name."""

from typing import Any

import msgspec

from api.notifiers import Notice, Post
from api.notifiers.summary import Summary, summary

COLOURS = {True: "Good", False: "Attention", None: "Default"}


class TeamsNotifier:
    schemes = ("https", "http")

    async def notify(self, notice: Notice, post: Post) -> int:
        return await post(msgspec.json.encode(message(summary(notice))))


def message(told: Summary) -> dict[str, Any]:
    title = run(told.title, size="Large", weight="Bolder", color=COLOURS[told.good])
    body = [rich(title), *(rich(run(f"{line.name}: ", weight="Bolder"), run(line.text)) for line in told.lines)]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "msteams": {"width": "Full"},
    }
    if told.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open", "url": told.link}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def rich(*runs: dict[str, str]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def run(text: str, **style: str) -> dict[str, str]:
    return {"type": "TextRun", "text": text, **style}
