"""What tests print is stored as plain text: bounded, without bytes that steer a terminal or that PostgreSQL refuses."""

import pytest

from worker.printed import Bounded, inert


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "text link"),
        ("a\x00b\x08c\x9bd\x7f", "abcd"),
        ("one\r\ntwo\rthree\ttab\n", "one\ntwo\nthree\ttab\n"),
        ("half a pair \ud83d", "half a pair \ufffd"),
        ("::error file=a.js::not a command here", "::error file=a.js::not a command here"),
        ("naïve – 日本語 🙂", "naïve – 日本語 🙂"),
        ("\x1b]unfinished\nnext", "]unfinished\nnext"),
    ],
)
def test_text_is_made_inert(raw: str, plain: str) -> None:
    assert inert(raw) == plain
    inert(raw).encode()


def test_text_is_cut_at_its_limit() -> None:
    assert inert("x" * 100, 10) == "x" * 9 + "…"
    assert len(inert("\x1b[" * 10**6, 1000)) <= 1000


def test_the_start_passes_at_once_and_the_end_comes_last() -> None:
    output = Bounded(limit=10)
    assert output.take("start") == "start"
    assert output.take("12345" + "x" * 1000) == "12345"
    assert output.take("the very end") == ""
    assert output.rest() == "\n… 1002 characters left out …\ne very end"


def test_nothing_is_left_out_of_short_output() -> None:
    output = Bounded(limit=10)
    assert output.take("short") + output.take("er") + output.rest() == "shorter"
