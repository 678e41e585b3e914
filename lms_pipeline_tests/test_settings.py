"""The settings: where they come from, and what each stands for."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from lms_pipeline.errors import SettingsError
from lms_pipeline.settings import Settings
from lms_pipeline.tables.roles import EXCLUDED_ROLES
from lms_pipeline_tests.support.loaded_settings import NAMES, TOKEN, empty_installation, load

__all__ = ["empty_installation", "load"]


def test_the_defaults(tmp_path, load):
    assert load().model_dump() == {
        "token": None,
        "base_url": "https://api.truto.one",
        "data_dir": tmp_path / "data",
        "start_date": None,
        "partition_days": 0,
        "timezone": "UTC",
        "grace_hours": 24,
        "integrations": ("talentlms",),
        "excluded_roles": EXCLUDED_ROLES,
        "frozen_now": None,
        "schedule": "0 2 * * *",
        "accounts_file": None,
        "rules_file": None,
        "accounts_per_run": 1,
        "token_calls_per_10s": 500,
        "account_calls_per_10s": 50,
        "alert_webhook": None,
        "attention_alert": False,
        "min_cohort": 1,
        "rejected_days": 90,
        "pii": "keep",
        "share": None,
        "run_log_days": 90,
        "roll_up": "auto",
        "lake_url": None,
        "state_url": None,
        "checkpoint_seconds": 30,
        "celery_broker": None,
        "celery_backend": None,
        "dagster_home_set": None,
    }


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_counts_as_not_set(load, name):
    assert load(**{name: ""}) == Settings.load()


@pytest.mark.parametrize("name", Settings.model_fields)
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_a_variable_with_the_name_of_a_field_is_no_setting(load, tmp_path, monkeypatch, name, where):
    """Others use names such as BASE_URL and TOKEN: the token would be sent to another host."""
    before = load()
    if where == ".env":
        (tmp_path / ".env").write_text(f"{name.upper()}=https://staging.example.org\n", encoding="utf-8")
    else:
        monkeypatch.setenv(name.upper(), "https://staging.example.org")
    assert load() == before


def test_the_settings_can_not_be_changed(load):
    with pytest.raises(ValueError, match="frozen"):
        load().timezone = "Europe/Athens"


def test_the_env_file_is_read(tmp_path, load):
    (tmp_path / ".env").write_text(f"TRUTO_API_TOKEN={TOKEN}\nLMS_TIMEZONE='Europe/Athens' # comment\n", "utf-8")
    assert (load().require_token(), load().timezone) == (TOKEN, "Europe/Athens")


def test_the_environment_overrides_the_env_file(tmp_path, load):
    (tmp_path / ".env").write_text("LMS_TIMEZONE=Europe/Athens\n", "utf-8")
    assert load(LMS_TIMEZONE="Asia/Kolkata").timezone == "Asia/Kolkata"


def test_an_empty_variable_does_not_hide_the_env_file(tmp_path, load):
    (tmp_path / ".env").write_text("LMS_TIMEZONE=Europe/Athens\n", "utf-8")
    assert load(LMS_TIMEZONE="").timezone == "Europe/Athens"


def test_an_env_file_with_a_byte_order_mark_is_read(tmp_path, load):
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfLMS_TIMEZONE=Europe/Athens\r\n")
    assert load().timezone == "Europe/Athens"


def test_an_env_file_in_another_encoding_is_one_sentence(tmp_path, load):
    (tmp_path / ".env").write_text(f"TRUTO_API_TOKEN={TOKEN}\n", "utf-16")
    with pytest.raises(SettingsError, match=r"\.env can't be read: save it as UTF-8\.$"):
        load()


@pytest.mark.parametrize("marker", [".env", "workspace.yaml"])
def test_relative_paths_do_not_depend_on_the_working_directory(tmp_path, monkeypatch, load, marker):
    (tmp_path / marker).touch()
    (tmp_path / "a" / "b").mkdir(parents=True)
    here = load(LMS_DATA_DIR="kept", LMS_ACCOUNTS_FILE="conf/accounts.toml", LMS_RULES_FILE="conf/rules.toml")
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert Settings.load() == here
    assert (here.data_dir, here.accounts_file) == (tmp_path / "kept", tmp_path / "conf" / "accounts.toml")
    assert here.rules_file == tmp_path / "conf" / "rules.toml"


def test_an_env_file_in_a_parent_folder_precedes_a_nearer_workspace_file(tmp_path, load):
    (tmp_path / ".env").touch()
    project = tmp_path / "project"
    project.mkdir()
    (project / "workspace.yaml").touch()
    assert Settings.load(project).data_dir == tmp_path / "data"


def test_the_nearest_env_file_is_read(tmp_path):
    (tmp_path / ".env").write_text("LMS_TIMEZONE=Asia/Kolkata\n", "utf-8")
    project = tmp_path / "project"
    project.mkdir()
    (project / ".env").write_text("LMS_TIMEZONE=Europe/Athens\n", "utf-8")
    assert Settings.load(project).timezone == "Europe/Athens"


def test_an_absolute_path_stays(tmp_path, load):
    assert load(LMS_DATA_DIR=str(tmp_path / "elsewhere")).data_dir == tmp_path / "elsewhere"


def test_a_path_may_start_at_the_home_directory(tmp_path, monkeypatch, load):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert load(LMS_DATA_DIR="~/lms").data_dir == tmp_path / "home" / "lms"


def test_dagsters_home_is_in_the_data_directory_by_default(tmp_path, load):
    assert load().dagster_home == tmp_path / "data" / "dagster"
    assert load(DAGSTER_HOME="/srv/dagster").dagster_home == Path("/srv/dagster")


def test_the_token_is_trimmed(load):
    assert load(TRUTO_API_TOKEN=f" {TOKEN}\n").require_token() == TOKEN


@pytest.mark.parametrize("token", ["", " ", "\n"])
def test_a_missing_token_is_reported_with_a_remedy(load, token):
    with pytest.raises(SettingsError, match=r"^There is no API token: set TRUTO_API_TOKEN "):
        load(TRUTO_API_TOKEN=token).require_token()


def test_integrations_are_a_list_in_lower_case(load):
    assert load(LMS_INTEGRATIONS="TalentLMS, docebo,,").integrations == ("talentlms", "docebo")


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        ("Instructor, lead mentor ,,", ("Instructor", "lead mentor")),
        ("tutor", ("tutor",)),
        (",", ()),
        (" ", ()),
        ("", EXCLUDED_ROLES),
    ],
)
def test_excluded_roles_replace_the_default_list(load, value, roles):
    assert load(LMS_EXCLUDED_ROLES=value).excluded_roles == roles


@pytest.mark.parametrize(
    ("value", "now"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05+05:30", datetime(2026, 1, 1, 21, 34, 5, tzinfo=UTC)),
    ],
)
def test_lms_now_replaces_the_clock(load, value, now):
    assert load(LMS_NOW=value).now() == now


def test_the_current_time_is_the_clock_by_default(load):
    before = datetime.now(UTC)
    assert before <= load().now() <= datetime.now(UTC)


def test_lms_now_ahead_of_the_clock_is_refused_in_every_zone(load):
    ahead = datetime.now(ZoneInfo("Asia/Kolkata")) + timedelta(hours=1)
    with pytest.raises(SettingsError, match=r"^LMS_NOW can't be used: it must not be ahead of the clock\.$"):
        load(LMS_NOW=ahead.isoformat())


def test_the_calendar_has_the_zone_and_the_grace_period(load):
    calendar = load(LMS_TIMEZONE="Asia/Kolkata", LMS_GRACE_HOURS="6.5").calendar
    assert (str(calendar.zone), calendar.grace_hours) == ("Asia/Kolkata", 6.5)


def test_loading_does_not_change_the_environment(tmp_path, load):
    (tmp_path / ".env").write_text(f"TRUTO_API_TOKEN={TOKEN}\n", "utf-8")
    load()
    assert "TRUTO_API_TOKEN" not in os.environ


@pytest.mark.parametrize(("mode", "is_warned_of"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_an_env_file_that_everybody_can_read_is_warned_of(load, tmp_path, caplog, mode, is_warned_of):
    (tmp_path / ".env").write_text("TRUTO_API_TOKEN=secret", encoding="utf-8")
    (tmp_path / ".env").chmod(mode)
    load()
    expected = [f"Every user of this machine can read {tmp_path / '.env'}: run `chmod o-rwx` on it."]
    assert [record.getMessage() for record in caplog.records] == (expected if is_warned_of else [])
