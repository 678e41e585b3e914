"""The world that the records files make up.

What belongs here: putting lines to accounts, and keeping the states that are being served.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from lms_pipeline.sandbox.errors import SandboxError
from lms_pipeline.sandbox.recorded_world import RecordsView
from lms_pipeline.sandbox.records.histories import Histories
from lms_pipeline.sandbox.records.lines import read_lines
from lms_pipeline.sandbox.world import Account, Integration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

_INTEGRATION = Integration(id="records", name="records", category="lms")
_STATES_KEPT = 8
"""States are kept while they are served: a sweep is many pages of one state, and several accounts are swept at once."""


class RecordsWorld:
    """Accounts whose enrollments are read from files; all are active LMS accounts that can be swept."""

    def __init__(self, histories: Mapping[str, Histories]) -> None:
        self._histories = histories
        self._views: OrderedDict[tuple[str, int], RecordsView] = OrderedDict()

    def accounts(self) -> Sequence[Account]:
        """The accounts in the order in which the files first name them."""
        return [
            Account(
                id=account_id,
                tenant_id=f"tenant-{account_id}",
                status="active",
                is_sandbox=False,
                integration=_INTEGRATION,
                created_at=histories.first_instant,
                updated_at=histories.last_instant,
            )
            for account_id, histories in self._histories.items()
        ]

    def view(self, account_id: str, at: datetime) -> RecordsView:
        """The account's enrollments in their latest versions at `at`."""
        histories = self._histories[account_id]
        key = (account_id, histories.age(at))
        view = self._views.pop(key, None) or RecordsView(histories.state(at))
        self._views[key] = view
        if len(self._views) > _STATES_KEPT:
            self._views.popitem(last=False)
        return view


def records_world(paths: Sequence[Path]) -> RecordsWorld:
    """Read NDJSON files, one version of one enrollment a line.

    Raises:
        SandboxError: naming file and line, where one can't be used.
    """
    by_account: dict[str, Histories] = {}
    for path in paths:
        for line, identity in read_lines(path):
            by_account.setdefault(line.account, Histories()).add(identity, line)
    if not by_account:
        raise SandboxError(f"There are no records in {', '.join(map(str, paths)) or 'no files at all'}.")
    for histories in by_account.values():
        histories.seal()
    return RecordsWorld(by_account)
