"""What a check is, and what it has to say.

What belongs here: the words between the checks and who shows them. What is looked at is `subject.py` and `fleet.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import getdoc
from typing import Any, Generic, TypeVar

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.tables.schema import Table

MOST_ROWS = 10
"""So many of the rows in question are shown."""

Subject = TypeVar("Subject")


class BlockedError(LmsPipelineError):
    """What is published fails a check that everything else stands on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    passed: bool
    told: str
    """One sentence, with the numbers."""
    figures: Mapping[str, int | float | str] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    """The rows in question, or the groups that they fall into; `MOST_ROWS` at most, and of nobody the name."""


@dataclass(frozen=True, slots=True)
class Check(Generic[Subject]):
    """One thing that is looked at."""

    look: Callable[[Subject], Finding]
    """Looks at one; its name and its docstring are those of the check, as users read them."""
    tables: Sequence[Table] = ()
    """The tables that are looked at, one after the other, where they are there; it stands on the page of the first. One
    check for each would be 29 instead of 16, and each leaves 12 KB in Dagster's log. None where it is of the fleet."""
    is_grave: bool = True
    """False where a failure asks for a look, but no stored figure is wrong."""
    blocks: bool = False
    """Whether nothing is worked out from a table that fails it."""

    @property
    def name(self) -> str:
        """As on the asset's page."""
        return self.look.__name__

    @property
    def doc(self) -> str:
        """What must hold."""
        return getdoc(self.look) or ""


def together(findings: Mapping[str, Finding]) -> Finding:
    """The findings in several tables as one; what is told is what fails."""
    if len(findings) == 1:
        return next(iter(findings.values()))
    failing = {name: found for name, found in findings.items() if not found.passed}
    told = [f"{name}: {found.told}" for name, found in (failing or findings).items()]
    return Finding(
        passed=not failing,
        told=" ".join(told),
        figures={
            f"{name}.{figure}": said
            for name, found in findings.items()
            for figure, said in found.figures.items()
        },
        rows=[{"table": name, **row} for name, found in failing.items() for row in found.rows][:MOST_ROWS],
    )


def counted(rows: Sequence[Mapping[str, Any]], column: str) -> int:
    """The sum over a column, 0 where there is no row."""
    return sum(int(row[column]) for row in rows)


def percent(share: float) -> str:
    """As `3.1 %`."""
    return f"{100 * share:.1f} %"
