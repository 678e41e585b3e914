"""The payloads of rejected records, which hold what a provider sent about a person: removed from files that stay.

Belongs here: how much they take, and their removal. Not here: when they have expired (`policy.py`, `cleanup.py`).
"""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.files import PREFIX, WRITER_ENTRIES, check_version, conform, convert_read_errors, read_metadata
from lms_pipeline.lake.lock import passing_lock
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.lake.stored_footers import read_stored_footer
from lms_pipeline.tables.pulled import REJECTED_ENROLLMENTS
from lms_pipeline.transform.columns import repeat_value

REMOVED_AT = "payloads_removed_at"
"""Metadata key of a file whose payloads were removed."""

log = logging.getLogger(__name__)


def measure_payload_bytes(data: DataDir, partition: Partition) -> int:
    """Return the compressed bytes of the payloads of a partition; 0 if there are none or they were removed.

    A damaged file is logged, and has none.

    Raises:
        StoreError: the store can't be used. The file is looked at again then.
    """
    try:
        footer = read_stored_footer(data.store, data.get_key(data.file(REJECTED_ENROLLMENTS, partition)))
    except LakeError as error:
        log.warning("%s", error)
        return 0
    if footer is None or f"{PREFIX}{REMOVED_AT}".encode() in (footer.metadata or {}):
        return 0
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    columns = [group.column(index) for group in groups for index in range(group.num_columns)]
    return sum(column.total_compressed_size for column in columns if column.path_in_schema == "payload")


def remove_payloads(data: DataDir, partition: Partition) -> None:
    """Publish a partition's rejected enrollments again with empty payloads, under the same run id.

    Raises:
        LockedError: another run holds the partition.
        LakeError: the file can't be read or written, or a newer version wrote it; then nothing is written.
        StorageError: the store or the state can't be used.
    """
    path = data.file(REJECTED_ENROLLMENTS, partition)
    run_id = f"housekeeping-{uuid.uuid4()}"
    with (
        passing_lock(data, partition) as lock,
        Publication(data, partition, run_id, before_publishing=lock.check) as publication,
    ):
        publication.look_at(REJECTED_ENROLLMENTS)  # before it is read: what is published since stays
        data.fetch([REJECTED_ENROLLMENTS], [partition])
        metadata = read_metadata(path)
        check_version(path, metadata)
        with convert_read_errors(path), pq.ParquetFile(path) as stored, publication.open(REJECTED_ENROLLMENTS) as file:
            for batch in stored.iter_batches(columns=[name for name in stored.schema_arrow.names if name != "payload"]):
                file.write(_clear_payloads(conform(batch, REJECTED_ENROLLMENTS)))
            provenance = {name: value for name, value in metadata.items() if name not in WRITER_ENTRIES}
            file.close({**provenance, REMOVED_AT: datetime.now(UTC).isoformat()})
            publication.publish([(file, REJECTED_ENROLLMENTS.key)])


def _clear_payloads(batch: pa.RecordBatch) -> pa.RecordBatch:
    index = batch.schema.get_field_index("payload")
    return batch.set_column(index, batch.schema.field(index), repeat_value("", "string", batch.num_rows))
