"""The README and the guides beside it, one for each kind of reader, as tests read them."""

import re
from urllib.parse import unquote

from processes import CHECKOUT

README, API, WORKER, SQL = "README.md", "api/README.md", "worker/README.md", "sql/README.md"
ACTION = ".github/actions/run-tests/README.md"
GUIDES = {path: (CHECKOUT / path).read_text() for path in (README, API, WORKER, SQL, ACTION)}


def marked(path: str, test: str, language: str = "sh") -> str:
    """What is marked there as run by this file of tests."""
    (found,) = re.findall(rf"<!-- run by tests/{test} -->\n```{language}\n(.*?)```", GUIDES[path], re.DOTALL)
    return str(found)


def prose(text: str) -> str:
    """Without blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def links(text: str) -> list[tuple[str, str]]:
    """The path and the heading of each relative link; both may be empty."""
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(text)))
    parts = [unquote(link).partition("#") for link in found if not re.match(r"[a-z]+:", link)]
    return [(path, heading) for path, _, heading in parts]
