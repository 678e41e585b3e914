"""All steps over a bucket, each on a machine without a local copy: they leave the same as on a disk."""

from dataclasses import replace

import pytest

from lms_pipeline.sandbox import running
from lms_pipeline.storage.opening import open_local_storage
from lms_pipeline_tests.support.bucket import FolderBucket
from lms_pipeline_tests.support.nights import STEPS, run_nights
from lms_pipeline_tests.support.portal import Portal


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """What each step returned, on a disk and in a bucket."""
    portal = Portal(6, 4, 2, every=3)
    root, scratch, objects = (tmp_path_factory.mktemp(name) for name in ("disk", "scratch", "objects"))
    in_bucket = replace(open_local_storage(scratch), store=FolderBucket(scratch, objects))
    with running(portal) as sandbox:
        return {
            "disk": run_nights(root, sandbox, portal, open_local_storage(root), is_wiped=False),
            "bucket": run_nights(scratch, sandbox, portal, in_bucket, is_wiped=True),
        }


@pytest.mark.parametrize("step", STEPS)
def test_a_step_in_a_bucket_returns_the_same_as_on_a_disk(nights, step):
    assert nights["bucket"][step] == nights["disk"][step]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_does_something(nights, step):
    assert nights["disk"][step]
