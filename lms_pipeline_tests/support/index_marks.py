"""Marks in the index of what is published, as another version stores them.

Belongs here: changing them. Not here: what they mean.
"""

from lms_pipeline.lake.index_sync import read_index


def replace_marks(data, prefix, text):
    """Give each mark with a prefix another text."""
    names = read_index(data, lambda index: index.read_marks(prefix))
    assert names
    read_index(data, lambda index: index.write_marks(dict.fromkeys(names, text)))
