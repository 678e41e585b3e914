"""All steps over a bucket of S3 and a database, each without a local copy: they leave the same as on a disk."""

import pytest
from pydantic import SecretStr

from lms_pipeline.sandbox import running
from lms_pipeline.storage.opening import open_local_storage, open_storage
from lms_pipeline_tests.support.nights import run_nights
from lms_pipeline_tests.support.portal import Portal

pytestmark = pytest.mark.distributed


def test_each_step_returns_the_same_as_on_a_disk(lake_url, state_url, tmp_path):
    portal, root, scratch = Portal(6, 4, 2, every=3), tmp_path / "disk", tmp_path / "scratch"
    with running(portal) as sandbox:
        on_disk = run_nights(root, sandbox, portal, open_local_storage(root), is_wiped=False)
        storage = open_storage(scratch, lake_url, SecretStr(state_url))
        assert run_nights(scratch, sandbox, portal, storage, is_wiped=True) == on_disk
