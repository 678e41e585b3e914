"""The environment, read once into one frozen `Settings`.

Belongs here: the settings of the installation, their defaults and their validation. Not here: options of single
accounts (`accounts/options.py`).
"""

from __future__ import annotations

import logging
import stat
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lms_pipeline.days import Calendar, UnknownZoneError, load_zone
from lms_pipeline.errors import SettingsError
from lms_pipeline.tables.roles import EXCLUDED_ROLES

log = logging.getLogger(__name__)

MAX_GRACE_HOURS = 24
MAX_MIN_COHORT = 1_000
MAX_ACCOUNTS_PER_RUN = 1_000
LAKE_SCHEMES = ("s3", "gs", "az")
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
EARLIEST_DAY = date(2000, 1, 1)
"""Before it no data directory has a snapshot, and each day is a partition of each account."""
GLOB_CHARACTERS = set("*?[")
FORMS = {
    "LMS_START_DATE": "a day, like 2026-01-31",
    "LMS_PARTITION_DAYS": "a whole number from 0 to 36500",
    "LMS_GRACE_HOURS": "above 0 and at most 24",
    "LMS_NOW": "an instant, like 2026-01-31T02:00:00Z",
    "LMS_TOKEN_CALLS_PER_10S": "a whole number, 0 or more",
    "LMS_ACCOUNT_CALLS_PER_10S": "a whole number, 0 or more",
    "LMS_ACCOUNTS_PER_RUN": "a whole number from 1 to 1000",
    "LMS_ATTENTION_ALERT": "true or false",
    "LMS_CHECKPOINT_SECONDS": "a whole number from 1 to 3600",
    "LMS_MIN_COHORT": "a whole number from 1 to 1000",
    "LMS_PII": "keep, since this version neither hashes nor drops personal data",
    "LMS_SHARE": "group, or not set",
    "LMS_REJECTED_DAYS": "a whole number from 0 to 36500",
    "LMS_ROLL_UP": "auto, on or off",
    "LMS_RUN_LOG_DAYS": "a whole number from 0 to 36500",
}
"""What a value must be, for settings that pydantic validates: its own sentences are for programmers."""
GLOB_RULE = "must not contain '*', '?' or '[', which DuckDB reads as wildcards"


class Settings(BaseSettings):
    """The settings of this installation. The alias of a field is its name in the environment."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - pydantic validates them
        """Read the environment; `values` replace it, by the name or the alias of a field.

        Pydantic's `populate_by_name` would also read variables with the name of a field, such as `BASE_URL` or `TOKEN`.
        """
        aliases = {name: str(field.alias) for name, field in type(self).model_fields.items()}
        super().__init__(**{aliases.get(name, name): value for name, value in values.items()})

    token: SecretStr | None = Field(None, alias="TRUTO_API_TOKEN")
    base_url: str = Field("https://api.truto.one", alias="TRUTO_BASE_URL")
    data_dir: Path = Field(Path("data"), alias="LMS_DATA_DIR")
    start_date: date | None = Field(None, alias="LMS_START_DATE")
    partition_days: int = Field(0, alias="LMS_PARTITION_DAYS", ge=0, le=36_500)
    timezone: str = Field("UTC", alias="LMS_TIMEZONE")
    grace_hours: float = Field(24, alias="LMS_GRACE_HOURS", gt=0, le=MAX_GRACE_HOURS)
    integrations: Annotated[tuple[str, ...], NoDecode] = Field(("talentlms",), alias="LMS_INTEGRATIONS")
    excluded_roles: Annotated[tuple[str, ...], NoDecode] = Field(EXCLUDED_ROLES, alias="LMS_EXCLUDED_ROLES")
    frozen_now: datetime | None = Field(None, alias="LMS_NOW")
    schedule: str = Field("0 2 * * *", alias="LMS_SCHEDULE")
    accounts_file: Path | None = Field(None, alias="LMS_ACCOUNTS_FILE")
    rules_file: Path | None = Field(None, alias="LMS_RULES_FILE")
    accounts_per_run: int = Field(1, alias="LMS_ACCOUNTS_PER_RUN", ge=1, le=MAX_ACCOUNTS_PER_RUN)
    token_calls_per_10s: int = Field(500, alias="LMS_TOKEN_CALLS_PER_10S", ge=0)
    account_calls_per_10s: int = Field(50, alias="LMS_ACCOUNT_CALLS_PER_10S", ge=0)
    alert_webhook: SecretStr | None = Field(None, alias="LMS_ALERT_WEBHOOK")
    attention_alert: bool = Field(default=False, alias="LMS_ATTENTION_ALERT")
    min_cohort: int = Field(1, alias="LMS_MIN_COHORT", ge=1, le=MAX_MIN_COHORT)
    pii: Literal["keep"] = Field("keep", alias="LMS_PII")
    share: Literal["group"] | None = Field(None, alias="LMS_SHARE")
    rejected_days: int = Field(90, alias="LMS_REJECTED_DAYS", ge=0, le=36_500)
    run_log_days: int = Field(90, alias="LMS_RUN_LOG_DAYS", ge=0, le=36_500)
    roll_up: Literal["auto", "on", "off"] = Field("auto", alias="LMS_ROLL_UP")
    lake_url: str | None = Field(None, alias="LMS_LAKE_URL")
    state_url: SecretStr | None = Field(None, alias="LMS_STATE_URL")
    checkpoint_seconds: int = Field(30, alias="LMS_CHECKPOINT_SECONDS", ge=1, le=3_600)
    celery_broker: SecretStr | None = Field(None, alias="LMS_CELERY_BROKER")
    celery_backend: SecretStr | None = Field(None, alias="LMS_CELERY_BACKEND")
    dagster_home_set: Path | None = Field(None, alias="DAGSTER_HOME")

    @classmethod
    def load(cls, start: Path | None = None) -> Self:
        """Read the environment and the nearest `.env` at or above `start` (default: the working directory).

        Relative paths are resolved against the folder of that `.env`, else of `workspace.yaml`, else `start`, so
        that every process of an installation uses the same folders.

        Raises:
            SettingsError: with the setting's name and what it must be, without its value, which may be secret.
        """
        start = (start or Path.cwd()).resolve()
        root = _find_root(start)
        _warn_of_open_file(root / ".env")
        try:
            settings = cls(_env_file=root / ".env", _env_file_encoding="utf-8")
        except ValidationError as invalid:
            first = invalid.errors(include_input=False, include_url=False)[0]
            name, problem = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
            if first["type"] != "value_error" and name in FORMS:
                problem = f"it must be {FORMS[name]}"
            raise SettingsError(f"{name} can't be used: {problem}.") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{root / '.env'} can't be read: save it as UTF-8.") from None
        paths = {
            name: _resolve(root, path, str(field.alias))
            for name, field in cls.model_fields.items()
            if isinstance(path := getattr(settings, name), Path)
        }
        if GLOB_CHARACTERS & set(str(paths["data_dir"])):
            raise SettingsError(f"LMS_DATA_DIR can't be used: the whole path {GLOB_RULE}.")
        if settings.lake_url is not None and settings.state_url is None:
            raise SettingsError(
                "LMS_LAKE_URL can't be used without LMS_STATE_URL: locks in files hold on one machine only; set LMS_STATE_URL "
                "to a PostgreSQL database."
            )
        if settings.lake_url is not None and settings.roll_up == "off":
            raise SettingsError(
                "LMS_ROLL_UP=off can't be used with LMS_LAKE_URL: the warehouse is made of roll-ups there; leave it out."
            )
        return settings.model_copy(update=paths)

    def with_data_dir(self, folder: Path) -> Self:
        """Return these settings with another data directory, an absolute path.

        Raises:
            SettingsError: it has a wildcard.
        """
        if GLOB_CHARACTERS & set(str(folder)):
            raise SettingsError(f"{folder} can't be the data directory: the whole path {GLOB_RULE}.")
        return self.model_copy(update={"data_dir": folder})

    @property
    def calendar(self) -> Calendar:
        """The days in `LMS_TIMEZONE`, with their grace period."""
        return Calendar(load_zone(self.timezone), self.grace_hours)

    @property
    def dagster_home(self) -> Path:
        """The folder of Dagster's run log."""
        return self.dagster_home_set or self.data_dir / "dagster"

    def now(self) -> datetime:
        """Return the current time in UTC: `LMS_NOW` if set, else the clock."""
        return self.frozen_now or datetime.now(UTC)

    def require_token(self) -> str:
        """Return the API token.

        Raises:
            SettingsError: it is not set.
        """
        if self.token is None:
            raise SettingsError(
                "There is no API token: set TRUTO_API_TOKEN in the environment or in .env to a token of your Truto account."
            )
        return self.token.get_secret_value()

    @field_validator("token")
    @classmethod
    def _require_printable(cls, token: SecretStr | None) -> SecretStr | None:
        text = token.get_secret_value().strip() if token else ""
        if not all("!" <= letter <= "~" for letter in text):
            raise ValueError("it must be one word of printable ASCII characters")
        return SecretStr(text) if text else None

    @field_validator("base_url")
    @classmethod
    def _require_plain_address(cls, url: str) -> str:
        url = cls._require_https(url)
        if set("@?#") & set(url):
            raise ValueError(
                "it must be an address without a user name, a password, or anything after '?' or '#'; the token belongs "
                "into TRUTO_API_TOKEN"
            )
        return url

    @field_validator("alert_webhook")
    @classmethod
    def _require_https_webhook(cls, address: SecretStr | None) -> SecretStr | None:
        return None if address is None else SecretStr(cls._require_https(address.get_secret_value()))

    @field_validator("lake_url")
    @classmethod
    def _require_bucket(cls, url: str | None) -> str | None:
        text = (url or "").strip().rstrip("/")
        scheme, _, place = text.partition("://")
        bucket = place.partition("/")[0]
        if text and (scheme not in LAKE_SCHEMES or not bucket or set("@?# ") & set(text)):
            raise ValueError(
                "it must be the address of a bucket, like s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
            )
        if text and {"", ".", ".."} & set(place.split("/")):
            raise ValueError("it must have no '//', and no '.' or '..' as a part of its prefix, like s3://bucket/a/b")
        return text or None

    @field_validator("state_url")
    @classmethod
    def _require_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        text = url.get_secret_value().strip() if url else ""
        scheme, _, place = text.partition("://")
        if text and (scheme not in {"postgresql", "postgres"} or not place):
            raise ValueError(
                "it must be the address of a PostgreSQL database, like postgresql://user:password@host/database"
            )
        return SecretStr(text) if text else None

    @field_validator("celery_broker", "celery_backend")
    @classmethod
    def _require_scheme(cls, address: SecretStr | None) -> SecretStr | None:
        text = address.get_secret_value().strip() if address else ""
        if text and not all(text.partition("://")):
            raise ValueError("it must be an address, like redis://localhost:6379/0")
        return SecretStr(text) if text else None

    @classmethod
    def _require_https(cls, url: str) -> str:
        url = url.strip().rstrip("/")
        try:
            parts = urlsplit(url)
            scheme, host, _ = parts.scheme, parts.hostname, parts.port
        except ValueError:  # its message may contain a part of the address
            scheme, host = "", None
        if host and (scheme == "https" or (scheme == "http" and host in LOOPBACK)):
            return url
        raise ValueError("it must be an https address; plain http is allowed for this machine only")

    @field_validator("data_dir")
    @classmethod
    def _refuse_wildcards(cls, folder: Path) -> Path:
        if GLOB_CHARACTERS & set(str(folder)):
            raise ValueError(f"it {GLOB_RULE}")
        return folder

    @field_validator("start_date")
    @classmethod
    def _refuse_early_day(cls, day: date | None) -> date | None:
        if day is not None and day < EARLIEST_DAY:
            raise ValueError(f"it must be {EARLIEST_DAY} or later")
        return day

    @field_validator("timezone")
    @classmethod
    def _require_known_zone(cls, name: str) -> str:
        try:
            load_zone(name)
        except UnknownZoneError:
            raise ValueError("it must be a time zone name of the IANA database, like Europe/Athens") from None
        return name

    @field_validator("integrations", mode="before")
    @classmethod
    def _split_names(cls, names: object) -> object:
        if not isinstance(names, str):
            return names
        return tuple(name.strip().lower() for name in names.split(",") if name.strip())

    @field_validator("excluded_roles", mode="before")
    @classmethod
    def _split_roles(cls, roles: object) -> object:
        if not isinstance(roles, str):
            return roles
        return tuple(role.strip() for role in roles.split(",") if role.strip())

    @field_validator("frozen_now")
    @classmethod
    def _refuse_future(cls, instant: datetime | None) -> datetime | None:
        if instant is None:
            return None
        try:
            aware = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
        except OverflowError:
            raise ValueError("it must be within the years 1 to 9999 in UTC") from None
        if aware.date() < EARLIEST_DAY:
            raise ValueError(f"it must be {EARLIEST_DAY} or later")
        if aware > datetime.now(UTC):
            raise ValueError("it must not be ahead of the clock")
        return aware


def _warn_of_open_file(env_file: Path) -> None:
    """Log a warning if users outside of the owner's group can read the file, which may hold a token."""
    with suppress(OSError):
        if env_file.stat().st_mode & stat.S_IROTH:
            log.warning("Every user of this machine can read %s: run `chmod o-rwx` on it.", env_file)


def _find_root(start: Path) -> Path:
    paths = (folder / marker for marker in (".env", "workspace.yaml") for folder in (start, *start.parents))
    return next((path.parent for path in paths if path.is_file()), start)


def _resolve(root: Path, path: Path, name: str) -> Path:
    try:
        return (root / path.expanduser()).resolve()
    except RuntimeError:
        raise SettingsError(f"{name} can't be used: it starts with '~', but there is no such home directory.") from None
