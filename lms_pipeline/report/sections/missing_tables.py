"""What the sections say of accounts whose metrics an older version made, without a table that a section needs.

Belongs here: one sentence for all sections.
"""

from __future__ import annotations

from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.report.content import ReportContent
from lms_pipeline.tables.schema import Table


def describe_missing(content: ReportContent, table: Table) -> str:
    """Return a sentence if the metrics of accounts have no such table; an empty text if all have it."""
    missing = sum(table.name in account.quality.missing_tables for account in content.accounts)
    if not missing:
        return ""
    if missing == len(content.accounts):
        which = choose_form(missing, "The metrics of this account", "The metrics of these accounts")
    else:
        which = f"The metrics of {format_count(missing, 'account')}"
    return f"{which} have no table {table.name} yet: materialize the metrics of the day again."


def is_missing_everywhere(content: ReportContent, table: Table) -> bool:
    """Return whether there are accounts, and none has the table."""
    return bool(content.accounts) and all(table.name in one.quality.missing_tables for one in content.accounts)
