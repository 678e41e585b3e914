"""Which store of the index an installation has.

Belongs here: the choice. Not here: the stores (`index_file.py`, `index_postgres.py`).
"""

from __future__ import annotations

from lms_pipeline.lake.index import PublicationIndex
from lms_pipeline.lake.index_file import IndexFile
from lms_pipeline.lake.index_postgres import IndexPostgres
from lms_pipeline.lake.paths import DataDir


def open_index(data: DataDir, *, read_only: bool = False) -> PublicationIndex:
    """Return the index of what is published: in the database if the lake is in a bucket, else in a file beside the lake.

    With `read_only` no file is made or changed. The lake of one disk means nothing to other machines, so it is never in the
    database.

    Raises:
        LakeError: the file can't be opened.
    """
    database = data.storage.database
    if database is not None and not data.store.is_local:
        return IndexPostgres(database)
    return IndexFile(data.index, read_only=True) if read_only else IndexFile.reuse(data.index)
