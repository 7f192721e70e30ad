"""Parameters that more than one route takes."""

from typing import Annotated

from litestar.di import NamedDependency
from litestar.params import HeaderParameter, PathParameter, QueryParameter, SkipValidation
from msgspec import Meta

import sql
from qgjob.store import Store

Db = NamedDependency[SkipValidation[sql.OnBehalf]]
Files = NamedDependency[SkipValidation[Store]]  # one of several classes, which msgspec cannot tell apart
LARGEST = 2**53 - 1  # what every JSON reader can hold
Id = Annotated[int, PathParameter(ge=1, le=LARGEST)]
BodyId = Annotated[int, Meta(ge=1, le=LARGEST)]
Key = Annotated[str | None, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=255)]
Limit = Annotated[int, QueryParameter(ge=1, le=1000)]
QueryId = Annotated[int | None, QueryParameter(ge=1, le=LARGEST)]
Cursor = Annotated[int | None, QueryParameter(ge=1, le=LARGEST)]
All = Annotated[bool, QueryParameter(name="all", description="also those that are long gone")]
Wait = Annotated[float, QueryParameter(ge=0, le=60, description="seconds to wait for a change")]
AfterSeq = Annotated[int, QueryParameter(ge=-1, le=LARGEST, description="the seq seen last")]
