"""When the latest build is no base for the next one: then all files are read, and nothing fails."""

import os
import shutil

import duckdb
import msgspec
import pytest

from lms_pipeline.lake import warehouse_record
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.lake.warehouse_record import load_record
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION
from lms_pipeline.tables.pulled import LEARNERS
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, THIRD, publish
from lms_pipeline_tests.support.warehouse_builds import age_files, leaving_out_comments, read_record, update


def publish_days(data, *days):
    for day in days:
        publish(data, "acme", day, {"n_all": day.day}, table=ACCOUNT_COMPLETION)
        publish(data, "acme", day, {"user_id": "u1"}, table=LEARNERS)


@pytest.fixture(scope="module", autouse=True)
def _without_comments():
    with leaving_out_comments():
        yield


@pytest.fixture
def data(tmp_path):
    """Two days and their warehouse."""
    data = DataDir(tmp_path / "data")
    publish_days(data, FIRST, SECOND)
    update(data)
    return data


def find_record(data):
    return data.state / "warehouse" / "record.msgpack"


def list_days(data):
    with open_warehouse(data) as connection:
        return [day for (day,) in connection.table("account_completion").select("snapshot_date").order("1").fetchall()]


def change_record(data, **values):
    record = msgspec.structs.replace(read_record(data), **values)
    find_record(data).write_bytes(msgspec.msgpack.encode(record))


def write_into_build(data):
    with duckdb.connect(str(data.warehouse.resolve())) as connection:
        connection.execute("DELETE FROM account_completion")


def replace_link(data):
    build = data.warehouse.resolve()
    data.warehouse.unlink()
    shutil.copyfile(build, data.warehouse)


def link_copy(data):
    """As after a restored backup of the whole data directory: the build is another file of the same name."""
    build = data.warehouse.resolve()
    shutil.copy2(build, build.with_name("copy"))
    build.with_name("copy").replace(build)


def put_folder(data):
    find_record(data).unlink()
    find_record(data).mkdir()
    (find_record(data) / "file").touch()


REASONS = {
    "no record": lambda data: find_record(data).unlink(),
    "a damaged record": lambda data: find_record(data).write_bytes(b"\x93half"),
    "a record of another kind": lambda data: find_record(data).write_bytes(msgspec.msgpack.encode({"build": 1})),
    "a folder in its place": put_folder,
    "a record of another build": lambda data: change_record(data, build="lms-0.duckdb"),
    "another version of the tables": lambda data: change_record(data, origin="0"),
    "no build": lambda data: data.warehouse.resolve().unlink(),
    "no link": lambda data: data.warehouse.unlink(),
    "a file instead of the link": replace_link,
    "another file of the same name": link_copy,
    "a build into which somebody wrote": write_into_build,
    "a build that a program has open for writing": lambda data: (
        data.warehouse.resolve().with_name(f"{data.warehouse.resolve().name}.wal").touch()
    ),
    "a damaged build": lambda data: data.warehouse.resolve().write_bytes(b"half"),
}


@pytest.mark.parametrize("reason", REASONS)
def test_the_next_build_reads_all_files(data, reason):
    REASONS[reason](data)
    assert load_record(data) is None
    publish_days(data, THIRD)
    update(data)
    assert list_days(data) == [FIRST, SECOND, THIRD]
    assert read_record(data).updates == 0


def test_a_build_after_that_is_an_update_again(data):
    find_record(data).unlink()
    update(data)
    publish_days(data, THIRD)
    update(data)
    assert read_record(data).updates == 1


def test_a_build_whose_damage_does_not_show_is_replaced(data, caplog):
    build = data.warehouse.resolve()
    status = build.stat()
    build.write_bytes(bytes(status.st_size))
    os.utime(build, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load_record(data) is not None
    publish_days(data, THIRD)
    update(data)
    assert list_days(data) == [FIRST, SECOND, THIRD]
    assert "can't be brought up to date, all is read again" in caplog.text


def test_a_copied_data_directory_gets_views_of_its_own_files(data, tmp_path):
    copied = DataDir(tmp_path / "copied")
    shutil.copytree(data.root, copied.root, symlinks=True)
    build_warehouse(copied)
    with open_warehouse(copied) as connection:
        assert len(connection.table("learners")) == 2


def test_what_a_killed_build_leaves_is_not_used(data):
    killed = data.state / "warehouse" / "lms-killed.duckdb"
    killed.write_bytes(b"half")
    publish_days(data, THIRD)
    update(data)
    assert (read_record(data).updates, list_days(data)) == (1, [FIRST, SECOND, THIRD])


def test_after_some_updates_all_is_read_again(data, monkeypatch):
    monkeypatch.setattr(warehouse_record, "MAX_UPDATES", 2)
    found = []
    for _ in range(4):
        update(data)
        record = load_record(data)
        found.append(record.updates if record else None)
    assert found == [1, None, 0, 1]


def test_a_build_that_grew_is_written_again(data, monkeypatch):
    monkeypatch.setattr(warehouse_record, "MIN_GROWN_BYTES", 0)
    publish(data, "acme", FIRST, *({"course_id": f"c{number}"} for number in range(20_000)), table=COURSE_COMPLETION)
    update(data)
    full = data.warehouse.resolve().stat().st_size
    data.file(COURSE_COMPLETION, Partition("acme", FIRST)).unlink()
    update(data)
    update(data)
    assert data.warehouse.resolve().stat().st_size < full


def test_if_most_days_changed_all_is_read(data):
    publish_days(data, FIRST, SECOND)
    update(data)
    assert read_record(data).updates == 0


def test_a_record_that_can_not_be_written_fails_no_build(data, caplog):
    find_record(data).with_name(f"{find_record(data).name}.new").mkdir()
    age_files(data)
    build_warehouse(data)
    assert list_days(data) == [FIRST, SECOND]
    assert "the next build of the warehouse reads all files" in caplog.text
