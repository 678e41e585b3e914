"""The payloads of rejected records: what a provider sent, people's names and all, of use to find a reason and no longer.

What belongs here: taking them out of a published file. Its rows stay, with reason and field, so that counts still add up.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.lake.files import PREFIX, check_version, conforming, damage, read_metadata
from lms_pipeline.lake.lock import alone
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.tables.pulled import REJECTED_ENROLLMENTS
from lms_pipeline.transform.columns import constant

REMOVED_AT = "payloads_removed_at"
"""What the file tells of it."""
_OF_THE_WRITER = {"schema_version", "digest"}


def payload_bytes(path: Path) -> int:
    """What the payloads in a file take; 0 where there are none, or none any more.

    Raises:
        LakeError: it is no Parquet file.
    """
    with damage(path):
        found = pq.read_metadata(path)
    if f"{PREFIX}{REMOVED_AT}".encode() in (found.metadata or {}):
        return 0
    groups = [found.row_group(number) for number in range(found.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    return sum(one.total_compressed_size for one in columns if one.path_in_schema == "payload")


def remove_payloads(data: DataDir, partition: Partition, now: datetime) -> None:
    """Publish the file anew with empty payloads; it goes on to tell which run it is of.

    Raises:
        BusyError: somebody is at the account and day.
        LakeError: it can't be read or written, or was written by a newer version.
    """
    path = data.file(REJECTED_ENROLLMENTS, partition)
    with alone(data, partition), Publication(data, partition, f"housekeeping-{uuid.uuid4()}") as publication:
        told = read_metadata(path)
        check_version(path, told)
        with publication.open(REJECTED_ENROLLMENTS) as file, damage(path), pq.ParquetFile(path) as stored:
            for batch in stored.iter_batches():
                file.write(_without_payloads(conforming(batch, REJECTED_ENROLLMENTS)))
            kept = {name: value for name, value in told.items() if name not in _OF_THE_WRITER}
            file.close({**kept, REMOVED_AT: now.isoformat()})
            publication.publish([(file, REJECTED_ENROLLMENTS.key)])


def _without_payloads(batch: pa.RecordBatch) -> pa.RecordBatch:
    place = batch.schema.get_field_index("payload")
    return batch.set_column(place, batch.schema.field(place), constant("", "string", batch.num_rows))
