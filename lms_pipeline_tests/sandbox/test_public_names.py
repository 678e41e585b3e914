"""The names that users import, and what docs/sandbox.md says of them."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import lms_pipeline.sandbox
import lms_pipeline.sandbox.faults
from lms_pipeline.sandbox import Switches
from lms_pipeline.sandbox.faults import AnyFault

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")


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


@pytest.mark.parametrize(("module", "names"), re.findall(r"^from (\S+) import (.+)$", PAGE, re.MULTILINE))
def test_the_imports_of_the_page_work(module, names):
    assert [name for name in names.split(", ") if not hasattr(import_module(module), name)] == []


@pytest.mark.parametrize("fault", AnyFault.__args__)
def test_the_page_explains_every_fault_with_its_own_keys(fault):
    [row] = re.findall(rf"^\| `{fault.__struct_config__.tag}` \| (.+)$", PAGE, re.MULTILINE)
    own = set(fault.__struct_fields__) - set(lms_pipeline.sandbox.faults.Fault.__struct_fields__)
    assert {name for name in own if f"`{name}`" not in row} == set()


@pytest.mark.parametrize("switch", Switches.__struct_fields__)
def test_the_page_explains_every_switch(switch):
    assert f"\n| `{switch}` |" in PAGE
