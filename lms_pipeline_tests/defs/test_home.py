"""Tests of `dagster.yaml`: an unfinished one is written again, an edited one stays."""

from importlib.resources import files

import pytest

from lms_pipeline.defs.home import prepare_home
from lms_pipeline.defs.instance import open_instance
from lms_pipeline.errors import SettingsError
from lms_pipeline.settings import Settings

OURS = files("lms_pipeline.defs").joinpath("dagster.yaml").read_text(encoding="utf-8")
BEGIN_OF_OLDER_VERSION = "# Written by an older version.\n\n# Runs at the same time"


def put(home, content):
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())


def read(home):
    return (home / "dagster.yaml").read_bytes().decode("utf-8", errors="replace")


def test_a_new_home_has_our_file(tmp_path):
    prepare_home(tmp_path / "new")

    assert read(tmp_path / "new") == OURS


@pytest.mark.parametrize(
    "content",
    [
        "",
        " \n\t\n",
        "\ufeff",
        "\0" * 900,
        "# nothing is set\n",
        BEGIN_OF_OLDER_VERSION,
        OURS[:1],
        OURS[: OURS.index("max_concurrent_runs") + 7],
        OURS[: OURS.index("enabled: true") + 8],
        OURS[: OURS.index("  sensor:")],
        OURS[: OURS.rindex("enabled")],
        OURS[: len(OURS) // 2] + "\0" * (len(OURS) - len(OURS) // 2),
        OURS[: len(OURS) // 2].replace("\n", "\r\n"),
    ],
)
def test_an_unfinished_file_is_written_again(tmp_path, content, caplog):
    put(tmp_path, content)

    prepare_home(tmp_path)

    assert read(tmp_path) == OURS
    assert [record.message for record in caplog.records] == [
        f"{tmp_path / 'dagster.yaml'} was empty or cut short: it is now as lms-pipeline creates it."
    ]


@pytest.mark.parametrize("length", range(0, len(OURS) - len("\nenabled: false\n"), 97))
def test_our_file_cut_within_a_section_is_written_again(tmp_path, length):
    put(tmp_path, OURS[:length])

    prepare_home(tmp_path)

    assert read(tmp_path) == OURS


@pytest.mark.parametrize(
    "content",
    [
        OURS,
        OURS.rstrip(),
        OURS.replace("\n", "\r\n"),
        OURS.replace("max_concurrent_runs: 4", "max_concurrent_runs: 8"),
        OURS.replace("max_concurrent_runs: 4", "max_concurrent_runs: 8")[: OURS.index("# Detects")],
        "telemetry:\n  enabled: false\n",
        "# mine\n" + OURS,
        OURS + "# mine\n",
        "{}\n",
        OURS[: OURS.index("telemetry:")],
        OURS[: OURS.index("# Small accounts")],
        "".join(f"# {line}" for line in OURS.splitlines(keepends=True)),
    ],
)
def test_an_edited_file_stays(tmp_path, content):
    put(tmp_path, content)

    prepare_home(tmp_path)

    assert (tmp_path / "dagster.yaml").read_bytes() == content.encode()


@pytest.mark.parametrize(
    "content", ["telemetry: [", "telemetry", "- telemetry\n", b"telemetry: \xff\xfe\n", "a: b: secret"]
)
def test_an_edited_file_that_is_no_yaml_is_refused_by_name_and_stays(tmp_path, content):
    put(tmp_path, content)
    before = (tmp_path / "dagster.yaml").read_bytes()

    with pytest.raises(SettingsError) as refused:
        prepare_home(tmp_path)

    assert str(refused.value) == (
        f"{tmp_path / 'dagster.yaml'} can't be used: it is not the YAML of Dagster's settings; correct it, or remove it, and "
        "lms-pipeline writes a new one."
    )
    assert (tmp_path / "dagster.yaml").read_bytes() == before


def test_a_setting_that_dagster_does_not_know_is_refused_without_its_value(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    put(tmp_path, "storage:\n  postgres:\n    postgres_db: hunter2\n")

    with pytest.raises(SettingsError) as refused:
        open_instance(Settings(dagster_home_set=tmp_path))

    assert str(refused.value).startswith(f"{tmp_path / 'dagster.yaml'} can't be used: Dagster does not know an entry")
    assert "hunter2" not in str(refused.value)


def test_an_unfinished_file_is_written_again_when_the_instance_is_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    put(tmp_path, OURS[:400])

    with open_instance(Settings(dagster_home_set=tmp_path)) as instance:
        assert instance.run_retries_enabled

    assert read(tmp_path) == OURS
