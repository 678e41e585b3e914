"""Which storage the settings choose, and what of a bucket's address is refused."""

import multiprocessing
import re
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest
from pydantic import SecretStr

from lms_pipeline.errors import SettingsError
from lms_pipeline.lake.index_postgres import IndexPostgres
from lms_pipeline.storage.bucket_address import read_address
from lms_pipeline.storage.opening import open_storage
from lms_pipeline.storage.scratch_mark import mark_scratch

MODULES = ("bucket", "conditional_write", "object_store", "store_marker")


@pytest.fixture(autouse=True)
def without_clouds(monkeypatch):
    """An environment that names no cloud."""
    for cloud, names in {
        "AWS": ("ENDPOINT_URL", "ENDPOINT_URL_S3", "ENDPOINT", "ACCESS_KEY_ID", "REGION"),
        "AZURE": ("STORAGE_ACCOUNT_NAME", "STORAGE_ENDPOINT", "ENDPOINT", "STORAGE_USE_EMULATOR"),
        "GOOGLE": ("BASE_URL",),
    }.items():
        for name in names:
            monkeypatch.delenv(f"{cloud}_{name}", raising=False)


def test_without_urls_everything_is_in_the_data_directory(tmp_path):
    storage = open_storage(tmp_path, None, None)
    assert (storage.store.is_local, storage.store.describe("lake/x")) == (True, str(tmp_path / "lake" / "x"))


def test_a_process_opens_a_storage_once(tmp_path):
    assert open_storage(tmp_path, None, None) is open_storage(tmp_path, None, None)


def test_another_data_directory_is_another_storage(tmp_path):
    assert open_storage(tmp_path / "a", None, None) is not open_storage(tmp_path / "b", None, None)


def test_a_missing_extra_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    for module in MODULES:
        monkeypatch.delitem(sys.modules, f"lms_pipeline.storage.{module}", raising=False)
    with pytest.raises(SettingsError) as error:
        open_storage(tmp_path, "s3://bucket/prefix", SecretStr("postgresql://user:secret@localhost/db"))
    assert str(error.value) == (
        'LMS_LAKE_URL needs packages that are not installed: run `pip install "lms-pipeline[distributed]"`.'
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda storage: storage.state.read_registry(),
        lambda storage: storage.state.edit_registry().__enter__(),
        lambda storage: storage.state.hold("pulls/a").__enter__(),
        lambda storage: IndexPostgres(storage.database).read_state(),
    ],
)
def test_a_missing_driver_of_the_database_is_one_sentence(tmp_path, monkeypatch, use):
    for module in ("psycopg2", "psycopg2.extras", "psycopg2.errors"):
        monkeypatch.setitem(sys.modules, module, None)
    storage = open_storage(tmp_path, None, SecretStr("postgresql://user:secret@localhost/db"))
    with pytest.raises(SettingsError) as error:
        use(storage)
    assert str(error.value) == (
        'LMS_STATE_URL needs packages that are not installed: run `pip install "lms-pipeline[distributed]"`.'
    )


@pytest.mark.distributed
def test_a_missing_setting_of_a_cloud_is_one_sentence(tmp_path):
    pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")
    with pytest.raises(SettingsError) as error:
        open_storage(tmp_path, "az://container/prefix", None)
    assert str(error.value) == (
        "LMS_LAKE_URL can't be used: the name of the storage account is missing; set what Azure needs in the environment."
    )


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("url", "name", "value", "reason"),
    [
        ("s3://bucket", "AWS_ACCESS_KEY_ID", "secret", "the secret access key is missing"),
        ("s3://bucket", "AWS_SKIP_SIGNATURE", "secret", "a setting of its cloud is missing, or not valid"),
        ("gs://bucket", "GOOGLE_SERVICE_ACCOUNT_KEY", '"secret"', "the key of the service account is not valid"),
        (
            "gs://bucket",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            '{"private_key": 5}',
            "the key of the service account is not valid",
        ),
        ("az://container", "AZURE_STORAGE_ACCOUNT_KEY", "secret!!", "the access key is not valid"),
        ("az://container", "AZURE_STORAGE_SAS_KEY", "secret", "the shared access signature is not valid"),
    ],
)
def test_a_wrong_setting_of_a_cloud_is_one_sentence_without_its_value(tmp_path, monkeypatch, url, name, value, reason):
    pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")
    if url.startswith("az"):
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        open_storage(tmp_path, url, None)
    assert re.fullmatch(
        rf"LMS_LAKE_URL can't be used: {reason}; set what [\w ]+ needs in the environment\.", str(error.value)
    )


@pytest.mark.distributed
def test_a_bucket_is_opened_without_a_request(tmp_path):
    pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")
    store = open_storage(tmp_path, "s3://bucket/prefix", None).store
    assert (store.is_local, store.describe("lake/x")) == (False, "s3://bucket/prefix/lake/x")


CLOUDS = {
    "s3://bucket": ("AWS", "AWS_ENDPOINT_URL"),
    "gs://bucket/prefix": ("Google Cloud", "GOOGLE_BASE_URL"),
    "az://container": ("Azure", "AZURE_STORAGE_ENDPOINT"),
}
SAFE = {
    "https://store.example.org": False,
    "https://store.example.org:9000/path": False,
    "http://127.0.0.1:9000": True,
    "http://localhost": True,
    "http://[::1]:9000": True,
}
UNSAFE = [
    "http://store.example.org",
    "http://minio:9000",
    "http://127.0.0.1.example.org",
    "store:9000",
    "ftp://store",
    "http://[",
    "http:///",
]


@pytest.mark.parametrize(("url", "cloud"), [(url, cloud) for url, (cloud, _) in CLOUDS.items()])
def test_without_an_endpoint_it_is_the_cloud_over_https(url, cloud):
    address = read_address(url)
    assert (address.cloud, address.is_plain) == (cloud, False)


@pytest.mark.parametrize(("endpoint", "is_plain"), SAFE.items())
@pytest.mark.parametrize(("url", "name"), [(url, name) for url, (_, name) in CLOUDS.items()])
def test_an_endpoint_over_https_or_of_this_machine_is_used(url, name, endpoint, is_plain, monkeypatch):
    monkeypatch.setenv(name, endpoint)
    assert read_address(url).is_plain is is_plain


@pytest.mark.parametrize("endpoint", UNSAFE)
@pytest.mark.parametrize(("url", "name"), [(url, name) for url, (_, name) in CLOUDS.items()])
def test_plain_http_to_another_machine_is_refused(url, name, endpoint, monkeypatch):
    monkeypatch.setenv(name, endpoint)
    with pytest.raises(SettingsError) as error:
        read_address(url)
    assert (
        str(error.value)
        == f"{name} can't be used: it must be an https address; plain http is allowed for this machine only."
    )


def test_the_endpoint_of_another_cloud_does_not_count(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.example.org")
    assert read_address("gs://bucket").is_plain is False


@pytest.mark.parametrize("chosen", ["true", "1", "TRUE"])
def test_the_emulator_of_azure_is_of_this_machine(chosen, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", chosen)
    assert read_address("az://container").is_plain
    monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", "http://azurite:10000")
    with pytest.raises(SettingsError, match=r"^AZURITE_BLOB_STORAGE_URL can't be used"):
        read_address("az://container")


def write_file(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")


@pytest.fixture
def bucket_url(monkeypatch):
    pytest.importorskip("obstore", reason="the extra `distributed` is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    return "s3://bucket/prefix"


@pytest.mark.distributed
@pytest.mark.parametrize(
    "original",
    [
        "lake/courses/account_id=a/snapshot_date=2026-03-10/data.parquet",
        "answers/account_id=a/snapshot_date=2026-03-10.sqlite",
    ],
)
def test_a_folder_with_a_lake_of_its_own_is_no_scratch(tmp_path, bucket_url, original):
    write_file(tmp_path / original)
    with pytest.raises(
        SettingsError, match="holds a lake of its own, which copies of s3://bucket/prefix would replace"
    ):
        open_storage(tmp_path, bucket_url, None)
    assert (tmp_path / original).read_bytes() == b"content"


@pytest.mark.distributed
@pytest.mark.parametrize("later", ["s3://bucket/prefix", "s3://bucket/other"])
def test_scratch_may_have_copies_of_one_bucket_after_another(tmp_path, bucket_url, later):
    open_storage(tmp_path, bucket_url, None)
    write_file(tmp_path / "lake" / "courses" / "data.parquet")
    assert (
        open_storage(tmp_path, later, SecretStr("postgresql://another@localhost/db")).store.describe("x")
        == f"{later}/x"
    )


@pytest.mark.distributed
def test_scratch_is_no_lake_of_one_machine(tmp_path, bucket_url):
    open_storage(tmp_path, bucket_url, None)
    with pytest.raises(SettingsError, match="holds nothing but copies of s3://bucket/prefix: set LMS_LAKE_URL to it"):
        open_storage(tmp_path, None, None)


def test_processes_may_mark_a_new_folder_at_once(tmp_path):
    roots = [tmp_path / str(number) for number in range(20)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        for _ in pool.map(mark_scratch, [root for root in roots for _ in range(4)], ["s3://bucket/prefix"] * 80):
            pass
    assert {(root / "state" / "scratch").read_text(encoding="utf-8") for root in roots} == {"s3://bucket/prefix"}
