"""A pull under way.

What belongs here: what its steps share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lms_pipeline.extract.session import Asker
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.snapshot.job import Order, Report


@dataclass(frozen=True, slots=True)
class Pull:
    """Who is asked, for what, and where it goes."""

    asker: Asker
    order: Order
    publication: Publication
    folder: Path
    """For what waits; it is emptied afterwards."""
    report: Report = field(default_factory=Report)
