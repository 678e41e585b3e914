"""The `sweep` strategy: one cursor-paged list brings all enrollments of an account. So come its users and courses.

What belongs here: the requests of lists. One request brings unified and raw: `remote_data` is what the mapping ran
on. What the pages hold is `enrollments/`.
"""

from __future__ import annotations

from collections.abc import Iterator

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.extract.session import Asker
from lms_pipeline.truto.errors import PermanentError
from lms_pipeline.truto.query import ListQuery, Resource
from lms_pipeline.truto.response import Page

NOT_OFFERED = {404, 405, 501}
"""Statuses with which a provider that has no such list says so."""


class PairDemandedError(LmsPipelineError):
    """The account gives no list of enrollments."""


def sweep_query(account_id: str, options: AccountOptions) -> ListQuery:
    """The list of all enrollments."""
    return ListQuery(
        account_id,
        limit=options.page_size,
        ignore_remote_data=options.remote_data == "drop",
        remote_query=options.remote_query,
    )


def enrollments(asker: Asker, account_id: str, options: AccountOptions, round_: int = 1) -> Iterator[Page]:
    """The pages of the account's enrollments; another round asks for all of them again.

    Raises:
        PairDemandedError: the account answers for one learner and course at a time.
        TrutoError: no answer.
    """
    try:
        yield from asker.pages("course-enrollments", sweep_query(account_id, options), round_)
    except PermanentError as error:
        if error.missing_parameters:
            raise PairDemandedError(
                f"Account {account_id} can't be swept: its LMS answers for one learner and course at a time "
                f"(it requires {' and '.join(error.missing_parameters)}): "
                'take strategy = "auto" for it in LMS_ACCOUNTS_FILE.'
            ) from error
        raise


def users_or_courses(
    asker: Asker, account_id: str, resource: Resource, options: AccountOptions
) -> Iterator[Page]:
    """The pages of the users or the courses list; none where the LMS does not offer it.

    Raises:
        TrutoError: no answer, for another reason.
    """
    query = ListQuery(account_id, limit=options.page_size, ignore_remote_data=True)
    offered = False
    try:
        for page in asker.pages(resource, query):
            offered = True
            yield page
    except PermanentError as error:
        if offered or error.status not in NOT_OFFERED:
            raise
