"""Query parameters that a route does not have are refused: `?statsu=failed` would be answered with everything."""

from difflib import get_close_matches
from typing import Any

from litestar import Request
from litestar.openapi.spec import OpenAPI

from api.observing import UNWATCHED
from api.problems import Wrong

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Queries:
    """The parameters of each route, as the document of the API has them. What is not in it (/schema) takes any, and so
    do /health and /metrics: probes and scrapers add some of their own, and there is nothing to be mistaken in."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], list[str]] = {}

    def learn(self, document: OpenAPI) -> None:
        """Once, when the application is made."""
        for path, item in (document.paths or {}).items():
            for method in METHODS:
                operation = getattr(item, method.lower())
                if operation is not None and path not in UNWATCHED:
                    parameters: list[Any] = operation.parameters or []
                    self._known[method, path] = sorted(one.name for one in parameters if one.param_in == "query")

    def check(self, request: Request[Any, Any, Any]) -> None:
        """Raises Wrong for the first that is not known."""
        if not request.scope["query_string"]:
            return
        path = request.scope["path_template"]
        known = self._known.get((request.method, path))
        unknown = [] if known is None else [name for name in request.query_params if name not in known]
        if known is None or not unknown:
            return
        near = get_close_matches(unknown[0], known, n=1)
        guess = f"Did you mean {near[0]}? " if near else ""
        raise Wrong(
            "parameter_is_known",
            f"{request.method} {path} has no parameter {unknown[0]!r}.",
            field=unknown[0],
            hint=guess + (f"It has {', '.join(known)}." if known else "It has none."),
        )
