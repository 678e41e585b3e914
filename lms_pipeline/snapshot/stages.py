"""The stages between an open checkpoint and a published snapshot, the same for a pull and a replay.

Belongs here: which stage comes after which, and what is published together. Not here: the stages (`lists.py`, `fetch.py`),
and what a run opens and closes around them (`run.py`).
"""

from __future__ import annotations

import logging
from contextlib import ExitStack

from lms_pipeline.extract.session import PairDemandedError
from lms_pipeline.extract.strategies import ListNotOfferedError, NoRosterError
from lms_pipeline.extract.strategy_selection import Choice, select_strategy
from lms_pipeline.lake.publishing import Published, audit_counts
from lms_pipeline.lake.row_drop import refuse_row_drop, refuse_short_list
from lms_pipeline.snapshot.fetch import FetchedEnrollments, fetch_enrollments
from lms_pipeline.snapshot.job import LISTS, TABLES, SnapshotContext, SnapshotResult
from lms_pipeline.snapshot.lists import Lists, fetch_list_table
from lms_pipeline.snapshot.previous import write_fingerprints
from lms_pipeline.tables.pulled import COURSES, LEARNERS, UNIFIED_ENROLLMENTS

log = logging.getLogger(__name__)


def run_stages(context: SnapshotContext) -> SnapshotResult:
    """Fetch, transform and publish all tables of a snapshot, or the lists of a job that has only those.

    Raises:
        RowDropError: too many enrollments of the previous snapshot, or records that a list announced, are missing.
        AuditError: a file is not as its table requires; nothing was published.
        LakeError: a file can't be written.
        TrutoError: a request failed.
    """
    with ExitStack() as files:
        if context.job.lists_only:
            return _publish_lists_only(context, files)
        lists = Lists(fetch_list_table("learners", context, files), fetch_list_table("courses", context, files))
        enrollments = _fetch_by_remembered_or_selected(context, lists, files)
        rows, writer, pairs = enrollments.writer.counts, enrollments.writer, enrollments.pairs
        complete = lists.is_complete and not pairs.has_missing and not writer.is_partial and rows.duplicates.total == 0
        requests = context.session.attempt.requests  # nothing may fail once the snapshot is published
        published = _publish(context, lists, enrollments, complete=complete)
        if enrollments.raw_gaps is not None:
            log.warning(
                "raw_enrollments of %s is incomplete, and without a role an instructor's enrollment counts as a learner's. %s",
                context.job.partition,
                enrollments.raw_gaps,
            )
        if enrollments.plan is not None:
            write_fingerprints(context.data, context.job, enrollments.choice.name, enrollments.plan)
        return SnapshotResult(
            published,
            choice=enrollments.choice,
            complete=complete,
            raw_gaps=enrollments.raw_gaps,
            requests=requests,
            rows=rows,
            pairs=pairs,
            reading={
                LEARNERS.name: lists.learners.reading,
                COURSES.name: lists.courses.reading,
                UNIFIED_ENROLLMENTS.name: writer.reading,
            },
        )


def _fetch_by_remembered_or_selected(context: SnapshotContext, lists: Lists, files: ExitStack) -> FetchedEnrollments:
    """Fetch by the remembered strategy, and by a new one where the account has changed since."""
    job = context.job

    def select() -> Choice:
        return select_strategy(context.session, job.account_id, job.options, lists.read_ids)

    remembered = job.remembered if job.options.strategy == "auto" else None
    try:
        return fetch_enrollments(context, remembered or select(), lists, files)
    except (NoRosterError, PairDemandedError):
        if remembered is None:
            raise
    return fetch_enrollments(context, select(), lists, files)


def _publish_lists_only(context: SnapshotContext, files: ExitStack) -> SnapshotResult:
    job = context.job
    lists = {name: fetch_list_table(name, context, files) for name in LISTS if name in job.tables}
    complete = not any(one.is_partial for one in lists.values())
    for name, one in lists.items():
        if not one.is_offered:
            raise ListNotOfferedError(f"The LMS of account {job.account_id} gives no list of its {LISTS[name]}.")
        if not _is_drop_allowed(context):
            refuse_short_list(job.partition, LISTS[name], one.received, one.missing, job.options.max_drop)
        one.file.close(context.describe("sweep", complete=complete))
    requests = context.session.attempt.requests
    return SnapshotResult(
        context.publication.publish([(one.file, TABLES[name].key) for name, one in lists.items()]),
        complete=complete,
        requests=requests,
        reading={name: one.reading for name, one in lists.items()},
    )


def _publish(
    context: SnapshotContext, lists: Lists, enrollments: FetchedEnrollments, *, complete: bool
) -> list[Published]:
    """Close the files of enrollments, audit them, and publish all five tables; the unified one last."""
    job, writer, rows = context.job, enrollments.writer, enrollments.writer.counts
    metadata = context.describe(enrollments.choice.name, complete=complete)
    raw_metadata = {"raw_source": "raw"} if job.options.uses_raw_format else {}
    if enrollments.raw_gaps is not None:
        raw_metadata |= {"complete": "false", "incomplete_because": enrollments.raw_gaps}
    writer.raw.close(metadata | raw_metadata)
    writer.rejected.close(metadata)
    writer.unified.close({**metadata, "key": ",".join(writer.key), **rows.metadata})
    audit_counts(
        received=rows.received, unified=writer.unified.rows, rejected=rows.rejected, duplicates=rows.duplicates.total
    )
    if not _is_drop_allowed(context):
        max_drop = job.options.max_drop
        for name, one in (("users", lists.learners), ("courses", lists.courses)):
            refuse_short_list(job.partition, name, one.received, one.missing, max_drop)
        refuse_short_list(job.partition, "enrollments", rows.served, writer.missing, max_drop)
        refuse_row_drop(context.data, job.partition, writer.unified.rows, max_drop)
    return context.publication.publish(
        [
            (writer.raw, ()),
            (writer.rejected, ()),
            (lists.learners.file, LEARNERS.key),
            (lists.courses.file, COURSES.key),
            (writer.unified, writer.key),
        ]
    )


def _is_drop_allowed(context: SnapshotContext) -> bool:
    """Return whether far fewer rows may be published: a replay publishes what was published before."""
    return context.job.allow_drop or context.session.client.is_replay
