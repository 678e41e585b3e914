"""The environment, read once into one frozen `Settings`.

What belongs here: the settings of the whole installation, their defaults and checks. What is set per account is
`accounts.py`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lms_pipeline.days import Calendar
from lms_pipeline.errors import SettingsError

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
PATTERN = set("*?[")
NO_PATTERN = "must not hold '*', '?' or '[', which DuckDB reads as patterns"


class Settings(BaseSettings):
    """How this installation is set up; each field's alias is its name in the environment."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True, populate_by_name=True
    )

    token: SecretStr | None = Field(None, alias="TRUTO_API_TOKEN")
    base_url: str = Field("https://api.truto.one", alias="TRUTO_BASE_URL")
    data_dir: Path = Field(Path("data"), alias="LMS_DATA_DIR")
    start_date: date = Field(date(2026, 1, 1), alias="LMS_START_DATE")
    timezone: str = Field("UTC", alias="LMS_TIMEZONE")
    grace_hours: float = Field(24, alias="LMS_GRACE_HOURS", gt=0, le=24)
    integrations: Annotated[tuple[str, ...], NoDecode] = Field(("talentlms",), alias="LMS_INTEGRATIONS")
    frozen_now: datetime | None = Field(None, alias="LMS_NOW")
    schedule: str = Field("0 2 * * *", alias="LMS_SCHEDULE")
    accounts_file: Path | None = Field(None, alias="LMS_ACCOUNTS_FILE")
    token_calls_per_10s: int = Field(500, alias="LMS_TOKEN_CALLS_PER_10S", ge=0)
    account_calls_per_10s: int = Field(50, alias="LMS_ACCOUNT_CALLS_PER_10S", ge=0)
    alert_webhook: SecretStr | None = Field(None, alias="LMS_ALERT_WEBHOOK")
    rejected_days: int = Field(90, alias="LMS_REJECTED_DAYS", ge=0, le=36_500)
    run_log_days: int = Field(90, alias="LMS_RUN_LOG_DAYS", ge=0, le=36_500)
    dagster_home_set: Path | None = Field(None, alias="DAGSTER_HOME")

    @classmethod
    def load(cls, start: Path | None = None) -> Self:
        """The settings of the environment and of the nearest `.env` at or above `start` (the working directory).

        Relative paths are resolved against the folder of that `.env`, else of `workspace.yaml`, else `start`, so
        that every process of an installation means the same.

        Raises:
            SettingsError: naming the setting and what it must be; the value, which may be secret, is not told.
        """
        start = (start or Path.cwd()).resolve()
        root = _root(start)
        try:
            settings = cls(_env_file=root / ".env", _env_file_encoding="utf-8")
        except ValidationError as invalid:
            first = invalid.errors(include_input=False, include_url=False)[0]
            trouble = first["msg"].removeprefix("Value error, ")
            raise SettingsError(f"{first['loc'][0]} can't be used: {trouble}.") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{root / '.env'} can't be read: save it as UTF-8.") from None
        paths = {"data_dir": _absolute(root, settings.data_dir, "LMS_DATA_DIR")}
        if PATTERN & set(str(paths["data_dir"])):
            raise SettingsError(f"LMS_DATA_DIR can't be used: the whole path {NO_PATTERN}.")
        if settings.accounts_file is not None:
            paths["accounts_file"] = _absolute(root, settings.accounts_file, "LMS_ACCOUNTS_FILE")
        if settings.dagster_home_set is not None:
            paths["dagster_home_set"] = _absolute(root, settings.dagster_home_set, "DAGSTER_HOME")
        return settings.model_copy(update=paths)

    @property
    def calendar(self) -> Calendar:
        """The days, in the pipeline's time zone."""
        return Calendar(ZoneInfo(self.timezone), self.grace_hours)

    @property
    def dagster_home(self) -> Path:
        """Where Dagster keeps its log of runs."""
        return self.dagster_home_set or self.data_dir / "dagster"

    def now(self) -> datetime:
        """The present, UTC: the clock, or the instant that stands for it."""
        return self.frozen_now or datetime.now(UTC)

    def required_token(self) -> str:
        """The API token.

        Raises:
            SettingsError: there is none.
        """
        if self.token is None:
            raise SettingsError(
                "There is no API token: set TRUTO_API_TOKEN in the environment or in .env to one of your Truto account."
            )
        return self.token.get_secret_value()

    @field_validator("token")
    @classmethod
    def _sendable(cls, token: SecretStr | None) -> SecretStr | None:
        text = token.get_secret_value().strip() if token else ""
        if not all("!" <= letter <= "~" for letter in text):
            raise ValueError("it must be one word of printable ASCII")
        return SecretStr(text) if text else None

    @field_validator("alert_webhook")
    @classmethod
    def _secure_too(cls, address: SecretStr | None) -> SecretStr | None:
        return None if address is None else SecretStr(cls._secure(address.get_secret_value()))

    @field_validator("base_url")
    @classmethod
    def _secure(cls, url: str) -> str:
        url = url.strip().rstrip("/")
        try:
            parts = urlsplit(url)
            scheme, host, _ = parts.scheme, parts.hostname, parts.port
        except ValueError:  # its message may hold a piece of the address
            scheme, host = "", None
        if host and (scheme == "https" or (scheme == "http" and host in LOOPBACK)):
            return url
        raise ValueError("it must be an https address; plain http is for this machine only")

    @field_validator("data_dir")
    @classmethod
    def _no_pattern(cls, folder: Path) -> Path:
        if PATTERN & set(str(folder)):
            raise ValueError(f"it {NO_PATTERN}")
        return folder

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("it must be the name of a time zone, like Europe/Athens") from None
        return name

    @field_validator("integrations", mode="before")
    @classmethod
    def _split(cls, names: object) -> object:
        return (
            tuple(name.strip().lower() for name in names.split(",") if name.strip())
            if isinstance(names, str)
            else names
        )

    @field_validator("frozen_now")
    @classmethod
    def _not_ahead(cls, instant: datetime | None) -> datetime | None:
        if instant is None:
            return None
        try:
            aware = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
        except OverflowError:
            raise ValueError("it must be within the years 1 to 9999 in UTC") from None
        if aware > datetime.now(UTC):
            raise ValueError("it must not be ahead of the clock")
        return aware


def _root(start: Path) -> Path:
    for marker in (".env", "workspace.yaml"):
        for folder in (start, *start.parents):
            if (folder / marker).is_file():
                return folder
    return start


def _absolute(root: Path, path: Path, name: str) -> Path:
    try:
        return (root / path.expanduser()).resolve()
    except RuntimeError:
        raise SettingsError(f"{name} can't be used: there is no home directory for its '~'.") from None
