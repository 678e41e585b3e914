"""What can be asked of a list, typed, and how it is written into a URL.

What belongs here: the parameters of Truto's page of `GET /unified/lms/course-enrollments`, and their encoding:
nested as `a[b]=x`, arrays as `a[]=x`, booleans as `true`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ResponseFormat = Literal["unified", "raw", "normalized", "stream"]
Resource = Literal["course-enrollments", "users", "courses"]

_TRUE = "true"


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A list of one account. What is None or empty is left out of the URL, and the server's default holds."""

    account_id: str
    limit: int | None = None
    user_id: str | None = None
    course_id: str | None = None
    response_format: ResponseFormat = "unified"
    key_by: str | None = None
    ignore_limit: bool = False
    ignore_remote_data: bool = False
    exclude_fields: tuple[str, ...] = ()
    remote_query: Mapping[str, str] = field(default_factory=dict)
    """Parameters for the LMS behind Truto, passed on untouched."""

    def parameters(self, cursor: str | None = None) -> list[tuple[str, str]]:
        """The query of one page, in a fixed order; httpx percent-encodes names and values."""
        given: list[tuple[str, str | None]] = [
            ("integrated_account_id", self.account_id),
            ("limit", None if self.limit is None else str(self.limit)),
            ("next_cursor", cursor),
            ("user[id]", self.user_id),
            ("course[id]", self.course_id),
            ("truto_response_format", None if self.response_format == "unified" else self.response_format),
            ("truto_key_by", self.key_by),
            ("truto_ignore_limit", _TRUE if self.ignore_limit else None),
            ("truto_ignore_remote_data", _TRUE if self.ignore_remote_data else None),
            *(("truto_exclude_fields[]", name) for name in self.exclude_fields),
            *((f"remote_query[{name}]", value) for name, value in self.remote_query.items()),
        ]
        return [(name, value) for name, value in given if value is not None]
