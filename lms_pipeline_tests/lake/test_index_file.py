"""The index in a SQLite file, as a store of what it is given."""

from functools import partial

import pytest

from lms_pipeline.lake.index_file import IndexFile
from lms_pipeline_tests.support.index_behaviour import IndexBehaviour


class TestIndexFile(IndexBehaviour):
    @pytest.fixture
    def open_index(self, tmp_path):
        return partial(IndexFile, tmp_path / "index.sqlite")
