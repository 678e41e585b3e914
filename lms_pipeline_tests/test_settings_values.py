"""The values of settings: what is accepted, how a bad one is refused, and what no message contains."""

import pytest

from lms_pipeline.errors import SettingsError
from lms_pipeline.settings import Settings
from lms_pipeline_tests.support.loaded_settings import TOKEN, empty_installation, load

__all__ = ["empty_installation", "load"]

BAD = {
    "TRUTO_API_TOKEN": ["two words", "schlüssel", "line\nbreak", "tab\tbed"],
    "TRUTO_BASE_URL": [
        *("http://api.truto.one", "api.truto.one", "ftp://localhost", "https://", "https:///unified"),
        *("https://a:port", "http://[::1", "https://a\u2100b"),
        *("http://localhost.example.org", "http://localhost@example.org"),
    ],
    "LMS_DATA_DIR": ["a*", "b?", "c[1]", "~nobody-of-this-name/data"],
    "LMS_ACCOUNTS_FILE": ["~nobody-of-this-name/accounts.toml"],
    "LMS_RULES_FILE": ["~nobody-of-this-name/rules.toml"],
    "LMS_START_DATE": ["1999-12-31", "0001-01-01", "2026-13-01", "01/02/2026", "tomorrow", "2026-01-01T05:00:00"],
    "LMS_PARTITION_DAYS": ["-1", "36501", "1.5", "a week"],
    "LMS_TIMEZONE": [
        *("Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe", "localtime", "europe/athens", "UTC+2"),
        *("posix/Europe/Athens", "right/Europe/Athens"),
    ],
    "LMS_GRACE_HOURS": ["0", "-1", "24.5", "nan", "inf", "a day"],
    "LMS_ACCOUNTS_PER_RUN": ["0", "-1", "1001", "2.5", "all"],
    "LMS_TOKEN_CALLS_PER_10S": ["-1", "many"],
    "LMS_ACCOUNT_CALLS_PER_10S": ["-1", "many"],
    "LMS_PII": ["hash", "drop", "Keep"],
    "LMS_SHARE": ["all", "Group", "0640"],
    "LMS_REJECTED_DAYS": ["-1", "36501", "1.5", "for ever"],
    "LMS_RUN_LOG_DAYS": ["-1", "36501"],
    "LMS_LAKE_URL": [
        *("bucket", "s3://", "s3:///prefix", "s3:bucket", "https://bucket.s3.amazonaws.com", "http://127.0.0.1/bucket"),
        *(
            "S3://bucket",
            "file:///lake",
            "s3://user:key@bucket",
            "s3://bucket?region=x",
            "s3://bucket/a b",
            "gs://bucket/../x",
            "s3://bucket/./x",
            "az://container//x",
            "s3://bucket//a//b/",
        ),
    ],
    "LMS_STATE_URL": [
        *(
            "localhost",
            "postgresql://",
            "postgresql:database",
            "mysql://localhost/lms",
            "postgresql+psycopg2://localhost/lms",
        ),
        *("sqlite:///lms.db", "://user:password@host/database", "http://localhost/lms"),
    ],
    "LMS_CHECKPOINT_SECONDS": ["0", "-1", "3601", "1.5", "often"],
    "LMS_CELERY_BROKER": ["localhost:6379", "redis://", "://localhost", "redis:/localhost"],
    "LMS_CELERY_BACKEND": ["localhost:6379", "rpc://", "db+sqlite"],
    "LMS_NOW": [
        "2999-01-01T00:00:00Z",
        "yesterday",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "1999-12-31T23:59:59Z",
    ],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_one_sentence_that_names_the_variable_and_a_rule(load, name, value):
    with pytest.raises(SettingsError, match=rf"^{name} can't be used: it (must|starts) [^\n]+[^.\n]\.$"):
        load(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("LMS_START_DATE", "soon", "it must be a day, like 2026-01-31"),
        ("LMS_GRACE_HOURS", "48", "it must be above 0 and at most 24"),
        ("LMS_NOW", "soon", "it must be an instant, like 2026-01-31T02:00:00Z"),
        ("LMS_PARTITION_DAYS", "all", "it must be a whole number from 0 to 36500"),
        ("LMS_ACCOUNTS_PER_RUN", "1001", "it must be a whole number from 1 to 1000"),
        ("LMS_RUN_LOG_DAYS", "36501", "it must be a whole number from 0 to 36500"),
        ("LMS_PII", "drop", "it must be keep, since this version neither hashes nor drops personal data"),
    ],
)
def test_a_bad_value_is_refused_with_the_form_of_a_good_one(load, name, value, rule):
    with pytest.raises(SettingsError) as refused:
        load(**{name: value})
    assert str(refused.value) == f"{name} can't be used: {rule}."


@pytest.mark.parametrize("name", [name for name in BAD if name != "LMS_DATA_DIR"])
def test_a_bad_value_is_not_in_the_message(load, name):
    with pytest.raises(SettingsError) as refused:
        load(**{name: f"~{TOKEN} {TOKEN}"})
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("url", [f"https://{TOKEN}\u2100", f"https://a:{TOKEN}", f"http://u:{TOKEN}@example.org"])
def test_no_part_of_a_bad_address_is_in_the_message(load, url):
    with pytest.raises(SettingsError) as refused:
        load(TRUTO_BASE_URL=url)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{TOKEN}@api.truto.one",
        f"https://{TOKEN}@api.truto.one",
        f"https://:{TOKEN}@api.truto.one/base",
        f"http://user:{TOKEN}@localhost:8000",
        f"https://api.truto.one?token={TOKEN}",
        f"https://api.truto.one/?api_key={TOKEN}&x=1",
        f"https://api.truto.one#{TOKEN}",
        f"https://api.truto.one/{TOKEN}?",
        "https://@api.truto.one",
    ],
)
def test_an_address_with_credentials_is_refused_without_showing_them(load, url):
    with pytest.raises(SettingsError) as refused:
        load(TRUTO_BASE_URL=url)
    assert str(refused.value) == (
        "TRUTO_BASE_URL can't be used: it must be an address without a user name, a password, or anything after '?' or '#'; "
        "the token belongs into TRUTO_API_TOKEN."
    )


def test_a_data_directory_whose_path_contains_wildcards_is_refused(tmp_path):
    project = tmp_path / "[old]"
    project.mkdir()
    with pytest.raises(SettingsError, match=r"^LMS_DATA_DIR can't be used: the whole path must not contain "):
        Settings.load(project)


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000", "http://LOCALHOST"]
)
def test_plain_http_is_allowed_for_this_machine(load, url):
    assert load(TRUTO_BASE_URL=url).base_url == url


@pytest.mark.parametrize(
    "url", ["https://truto.example.org/", " https://truto.example.org", "https://truto.example.org\n"]
)
def test_an_address_loses_white_space_and_its_last_slash(load, url):
    assert load(TRUTO_BASE_URL=url).base_url == "https://truto.example.org"


@pytest.mark.parametrize(
    "form", [str, repr, lambda settings: str(settings.model_dump()), lambda settings: settings.model_dump_json()]
)
def test_no_text_of_the_settings_contains_the_token(load, form):
    assert TOKEN not in form(load(TRUTO_API_TOKEN=TOKEN))


@pytest.mark.parametrize("name", ["LMS_CELERY_BROKER", "LMS_CELERY_BACKEND"])
@pytest.mark.parametrize(
    "form", [str, repr, lambda settings: str(settings.model_dump()), lambda settings: settings.model_dump_json()]
)
def test_no_text_of_the_settings_contains_the_password_of_celery(load, name, form):
    assert TOKEN not in form(load(**{name: f"redis://:{TOKEN}@localhost:6379/0"}))


def test_the_addresses_of_celery_are_trimmed(load):
    settings = load(LMS_CELERY_BROKER=" redis://localhost:6379/0\n", LMS_CELERY_BACKEND="sentinel://a;sentinel://b ")
    assert settings.celery_broker.get_secret_value() == "redis://localhost:6379/0"
    assert settings.celery_backend.get_secret_value() == "sentinel://a;sentinel://b"


@pytest.mark.parametrize(
    "form", [str, repr, lambda settings: str(settings.model_dump()), lambda settings: settings.model_dump_json()]
)
def test_no_text_of_the_settings_contains_the_password_of_the_state(load, form):
    assert TOKEN not in form(load(LMS_STATE_URL=f"postgresql://lms:{TOKEN}@db.example.org/lms"))


def test_a_lake_in_a_bucket_needs_a_state_in_a_database(load):
    with pytest.raises(SettingsError) as refused:
        load(LMS_LAKE_URL="s3://bucket/prefix")
    assert str(refused.value) == (
        "LMS_LAKE_URL can't be used without LMS_STATE_URL: locks in files hold on one machine only; set LMS_STATE_URL to a "
        "PostgreSQL database."
    )


@pytest.mark.parametrize(
    "url", ["postgresql://lms:pw@db/lms", "postgres://db/lms?sslmode=require", "postgresql:///lms"]
)
def test_a_state_in_a_database_needs_no_bucket(load, url):
    assert load(LMS_STATE_URL=f" {url}\n").state_url.get_secret_value() == url


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/a/prefix", "gs://bucket/prefix", "az://container/prefix"])
def test_an_address_of_a_bucket_loses_white_space_and_its_last_slash(load, url):
    assert load(LMS_LAKE_URL=f" {url}/ ", LMS_STATE_URL="postgresql://db/lms").lake_url == url


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({}, "LMS_LAKE_URL can't be used without LMS_STATE_URL: locks in files hold on one machine only; set "),
        (
            {"LMS_STATE_URL": "postgresql://lms@localhost/lms", "LMS_ROLL_UP": "off"},
            "LMS_ROLL_UP=off can't be used with LMS_LAKE_URL: the warehouse is made of roll-ups there; leave it out.",
        ),
    ],
    ids=["without a database", "without roll-ups"],
)
def test_a_bucket_is_refused_in_one_sentence(load, more, sentence):
    with pytest.raises(SettingsError) as refused:
        load(LMS_LAKE_URL="s3://bucket/lms", **more)
    assert str(refused.value).startswith(sentence)
