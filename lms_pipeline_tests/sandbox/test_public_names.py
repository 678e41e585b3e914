"""The names that users import: short paths, and the paths of earlier releases."""

from importlib import import_module

import pytest

import lms_pipeline.sandbox
import lms_pipeline.sandbox.faults


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("generated.world", "generated_world"),
        ("records.world", "records_world"),
        ("server", "running"),
        ("wire.switches", "TRUTO_ACCOUNT_TIER"),
        ("wire.switches", "Switches"),
    ],
)
def test_the_earlier_path_of_a_public_name_gives_the_same_object(module, name):
    earlier = import_module(f"lms_pipeline.sandbox.{module}")
    assert getattr(earlier, name) is getattr(lms_pipeline.sandbox, name)


def test_the_earlier_path_of_a_fault_gives_the_same_class():
    earlier = import_module("lms_pipeline.sandbox.faults.refusing")
    assert earlier.Status is lms_pipeline.sandbox.faults.Status
