"""Settings that tests load from an environment of their own."""

import pytest

from lms_pipeline.settings import Settings

TOKEN = "tok-0123456789abcdef"

NAMES = [name.alias for name in Settings.model_fields.values() if name.alias]


@pytest.fixture(autouse=True)
def empty_installation(tmp_path, monkeypatch):
    """Start in an empty folder with no setting in the environment."""
    for name in (*NAMES, "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def load(monkeypatch):
    """Return the settings of an environment."""

    def load(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Settings.load()

    return load
