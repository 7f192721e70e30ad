"""Parameters that more than one route takes."""

from typing import Annotated

from litestar.di import NamedDependency
from litestar.params import HeaderParameter, PathParameter, QueryParameter

import sql

Db = NamedDependency[sql.Database]
Id = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
Key = Annotated[str | None, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=255)]
Limit = Annotated[int, QueryParameter(ge=1, le=1000)]
Cursor = Annotated[int | None, QueryParameter(ge=1, le=2**63 - 1)]
