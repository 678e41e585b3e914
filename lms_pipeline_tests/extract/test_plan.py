"""The fetch plan on a full disk."""

import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.extract.plan import build_plan


def test_pairs_that_a_full_disk_can_not_hold_are_one_sentence(tmp_path):
    (tmp_path / "found.parquet").symlink_to("/dev/full")
    plan = build_plan([], None, folder=tmp_path, may_carry=True, rotation_days=7)
    with pytest.raises(LakeError, match=r"found\.parquet can't be written: the disk is full; free some space"), plan:
        pass
