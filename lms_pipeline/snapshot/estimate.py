"""What a snapshot would cost, without taking it.

What belongs here: an estimate from the lists and from the last snapshot. What a taken snapshot really plans is told by
`telling.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from lms_pipeline.extract.budget import Limits
from lms_pipeline.extract.checkpoint import Checkpoint
from lms_pipeline.extract.plan import Kind
from lms_pipeline.extract.session import FetchSession, build_sweep_query, fetch_list
from lms_pipeline.extract.strategies import read_pairs
from lms_pipeline.extract.strategy_selection import Choice, pair_requirement
from lms_pipeline.lake.files import count_rows
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.snapshot.job import Order
from lms_pipeline.snapshot.previous import last_snapshot
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.truto.client import TrutoClient


def plan_told(order: Order, strategy: str, kinds: Mapping[Kind, int], calls: int) -> str:
    """As `12,000 enrollments of acme by roster: 240 new, 11,760 carried over: 240 calls, about 53 s.`, for one."""
    words: dict[Kind, str] = {
        "new": "new",
        "changed": "changed",
        "rotation": "again in turn",
        "carried": "carried over",
    }
    counts = Counter(kinds)
    parts = [f"{counts[kind]:,} {word}" for kind, word in words.items() if counts[kind]]
    found = f"{counts.total():,} enrollments of {order.account_id} by {strategy}"
    return f"{found}{': ' if parts else ''}{', '.join(parts)}: {calls_told(calls, order.limits, order.options.workers)}."


def calls_told(calls: int, limits: Limits, workers: int) -> str:
    """As `1,920 calls, about 7 min at 2,000 an hour`; where it may not cost as many, for how many that holds."""
    pace = f" at {limits.per_hour:,} an hour" if limits.per_hour else ""
    most = calls if limits.per_snapshot is None else min(calls, limits.per_snapshot)
    allowed = "" if most == calls else f", of which it may cost {most:,}"
    return f"{calls:,} calls{allowed}, about {duration(limits.seconds_for(most, workers))}{pace}"


def duration(seconds: float) -> str:
    """As `40 s`, `7 min` or `5.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


def estimate_calls(client: TrutoClient, data: DataDir, order: Order) -> str:
    """What would be asked for, in words; only lists and metadata are asked for now.

    Raises:
        TrutoError: no answer.
    """
    asked_before = client.requests
    with TemporaryDirectory() as folder, Checkpoint(Path(folder) / "answers.sqlite") as answers:
        session = FetchSession(client, answers.begin(order.plan, client.now()))
        choice = _choice(session, order)
        learners, courses = (
            sum(len(page.records) for page in fetch_list(session, order.account_id, one, order.options))
            for one in ("users", "courses")
        )
    lists = client.requests - asked_before
    stored = _stored(data, order)
    known = (
        "no snapshot tells how many enrollments"
        if stored is None
        else f"{stored:,} enrollments in the last snapshot"
    )
    head = f"{choice.name} ({choice.why}); {learners:,} users, {courses:,} courses, {known}"
    if choice.name == "sweep":
        pages = (
            "" if stored is None else f": {_told(order, lists + -(-stored // order.options.page_size) or 1)}"
        )
        return f"{head}{pages}."
    if choice.name == "pairs":
        return f"{head}: {_told(order, lists + _pairs(order, learners * courses))}."
    details = courses if choice.name == "roster" else learners
    if stored is None:
        return f"{head}: {details:,} calls for details, then one for each enrollment, {learners * courses:,} at most."
    with TemporaryDirectory() as folder:
        before = last_snapshot(data, order, choice.name, Path(folder))
    if before is None or not order.may_carry:
        return f"{head}: {_told(order, lists + details + stored)}."
    turn = -(-stored // order.options.rotation_days) if order.options.rotation_days else 0
    return f"{head}: {_told(order, lists + details + turn)}, and one for each that changed."


def _choice(session: FetchSession, order: Order) -> Choice:
    """What was set or chosen before; else what the metadata tell, without asking for details."""
    if order.options.strategy != "auto":
        return Choice(order.options.strategy, "it is set in LMS_ACCOUNTS_FILE")
    if order.remembered is not None:
        return order.remembered
    because = pair_requirement(session, build_sweep_query(order.account_id, order.options))
    if because is None:
        return Choice("sweep", "its LMS lists all enrollments")
    return Choice("roster", f"{because}; two more calls will tell whether another way is better")


def _pairs(order: Order, all_of_them: int) -> int:
    file = order.options.pairs_file
    return all_of_them if file is None else sum(1 for _ in read_pairs(Path(file)))


def _stored(data: DataDir, order: Order) -> int | None:
    previous = data.latest_snapshot(order.account_id, before=order.day)
    return None if previous is None else count_rows(data.file(UNIFIED_ENROLLMENTS, previous))


def _told(order: Order, calls: int) -> str:
    return calls_told(calls, order.limits, order.options.workers)
