"""Checks of the portfolio: what must hold of its figures.

Belongs here: which checks of the metrics are also those of a day over all accounts. The checks are `metrics.py`.
"""

from __future__ import annotations

from lms_pipeline.checks.base import Check, Subject
from lms_pipeline.checks.metrics import parts_sum, rates_are_shares
from lms_pipeline.checks.snapshot import schema
from lms_pipeline.tables.metrics import PORTFOLIO_COMPLETION

PORTFOLIO_CHECKS: tuple[Check[Subject], ...] = (
    Check(schema, (PORTFOLIO_COMPLETION,)),
    Check(rates_are_shares, (PORTFOLIO_COMPLETION,)),
    Check(parts_sum, (PORTFOLIO_COMPLETION,)),
)
"""The checks of `portfolio_completion`."""
