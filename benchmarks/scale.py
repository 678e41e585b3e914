"""How large the cases are.

Belongs here: the sizes of the full run, of the quick one, and of the tests.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Sizes in enrollments unless said otherwise, and rounds. 0 leaves a part out."""

    name: str
    world_rows: int
    """Enrollments on disk; larger accounts repeat them with other ids."""
    pull_rows: tuple[int, int]
    """A small account, and a large one in fewer rounds."""
    huge_rows: int
    transform_rows: int
    metric_rows: tuple[int, int]
    check_rows: int
    accounts: int
    """Accounts in the warehouse, of 2,000 enrollments each."""
    days: int
    pairs: int
    growth_rows: tuple[int, ...]
    """Three sizes each of rows, accounts and days, whose costs are compared."""
    growth_accounts: tuple[int, ...]
    growth_days: tuple[int, ...]
    further_accounts: int = 3
    """Accounts of the daily job after the first one of its process."""
    small_rounds: int = 5
    large_rounds: int = 3
    is_judged: bool = False
    """Whether the limits are for these sizes."""


FULL = Scale(
    "full",
    world_rows=200_000,
    pull_rows=(200_000, 1_000_000),
    huge_rows=10_000_000,
    transform_rows=100_000,
    metric_rows=(1_000_000, 5_000_000),
    check_rows=200_000,
    accounts=100,
    days=20,
    pairs=12_000,
    growth_rows=(40_000, 200_000, 1_000_000),
    growth_accounts=(25, 100, 400),
    growth_days=(5, 20, 80),
    is_judged=True,
)
QUICK = Scale(
    "quick",
    world_rows=20_000,
    pull_rows=(20_000, 0),
    huge_rows=0,
    transform_rows=20_000,
    metric_rows=(100_000, 500_000),
    check_rows=20_000,
    accounts=20,
    days=5,
    pairs=1_000,
    growth_rows=(2_000, 10_000, 20_000),
    growth_accounts=(2, 4, 8),
    growth_days=(1, 2, 4),
    further_accounts=1,
    small_rounds=3,
    large_rounds=2,
)
TINY = Scale(
    "tiny",
    world_rows=2_000,
    pull_rows=(2_000, 0),
    huge_rows=4_000,
    transform_rows=2_000,
    metric_rows=(2_000, 4_000),
    check_rows=2_000,
    accounts=4,
    days=2,
    pairs=20,
    growth_rows=(2_000,),
    growth_accounts=(1,),
    growth_days=(1, 2),
    further_accounts=0,
    small_rounds=1,
    large_rounds=1,
)
SCALES = {scale.name: scale for scale in (FULL, QUICK, TINY)}
