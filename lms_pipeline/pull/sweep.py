"""The `sweep` strategy: one cursor-paged list brings all enrollments of an account.

What belongs here: the requests of a sweep. One request brings unified and raw: `remote_data` is what the mapping ran
on. What the pages hold is `enrollments/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from lms_pipeline.accounts import AccountOptions
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError
from lms_pipeline.truto.page import Page
from lms_pipeline.truto.query import ListQuery

ListResource = Literal["users", "courses"]


class PairDemandedError(LmsPipelineError):
    """The account gives no list of enrollments."""


def enrollments(client: TrutoClient, account_id: str, options: AccountOptions) -> Iterator[Page]:
    """The pages of the account's enrollments.

    Raises:
        PairDemandedError: the account answers for one learner and course at a time.
        TrutoError: no answer.
    """
    query = ListQuery(
        account_id=account_id,
        limit=options.page_size,
        ignore_remote_data=options.remote_data == "drop",
        remote_query=options.remote_query,
    )
    try:
        yield from client.pages("course-enrollments", query)
    except PermanentError as error:
        if error.missing_parameters:
            raise PairDemandedError(
                f"Account {account_id} can't be swept: its LMS answers for one learner and course at a time "
                f"(it requires {' and '.join(error.missing_parameters)}), and no other strategy is there yet; "
                f"take it out with `lms-pipeline accounts remove {account_id}`."
            ) from error
        raise


def users_or_courses(
    client: TrutoClient, account_id: str, resource: ListResource, options: AccountOptions
) -> Iterator[Page]:
    """The pages of the users or the courses list; none where the LMS does not offer it (404, 405, 501).

    Raises:
        TrutoError: no answer, for another reason.
    """
    query = ListQuery(account_id=account_id, limit=options.page_size, ignore_remote_data=True)
    offered = False
    try:
        for page in client.pages(resource, query):
            offered = True
            yield page
    except PermanentError as error:
        if offered or error.status not in {404, 405, 501}:
            raise
