"""The README and the guides beside it, one for each kind of reader, as tests read them."""

import re

from processes import CHECKOUT

README, API, WORKER, SQL = "README.md", "api/README.md", "worker/README.md", "sql/README.md"
ACTION = ".github/actions/run-tests/README.md"
GUIDES = {path: (CHECKOUT / path).read_text() for path in (README, API, WORKER, SQL, ACTION)}


def marked(path: str, test: str, language: str = "sh") -> str:
    """What is marked there as run by this file of tests."""
    (found,) = re.findall(rf"<!-- run by tests/{test} -->\n```{language}\n(.*?)```", GUIDES[path], re.DOTALL)
    return str(found)
