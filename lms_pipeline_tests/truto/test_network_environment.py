"""Tests of proxies and certificates of the environment: what can't be used is one sentence, without its value."""

import sys

import pytest
from pydantic import SecretStr

from lms_pipeline.alerts import Alerts, RunFailure
from lms_pipeline.connection import Truto
from lms_pipeline.errors import SettingsError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline.truto.network_environment import PROXY_NAMES, convert_network_setting_errors

SOCKS = (
    "{} can't be used: a SOCKS proxy needs the package socksio; install it beside lms-pipeline with `pip install "
    "'httpx[socks]'`, or set the variable to an http proxy."
)
INVALID = (
    "{} can't be used: a proxy must be an address like http://proxy.example.org:8080, and NO_PROXY a list of hosts, "
    "separated by commas."
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setitem(sys.modules, "socksio", None)
    for name in PROXY_NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def connect(tmp_path):
    truto = Truto(Settings(data_dir=tmp_path, base_url="https://truto.example.org", token=SecretStr("token")))
    with truto.connect():
        pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://user:hunter2@proxy.example.org:1080"),
        ("all_proxy", "socks5h://user:hunter2@proxy.example.org:1080"),
        ("HTTPS_PROXY", "socks5://hunter2.example.org"),
    ],
)
def test_a_socks_proxy_without_its_package_is_one_sentence(tmp_path, monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as refused:
        connect(tmp_path)

    assert str(refused.value) == SOCKS.format(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "http://user:hunter2@proxy.example.org:port"),
        ("https_proxy", "http://[::1"),
        ("ALL_PROXY", "ftp://hunter2.example.org"),
        ("ALL_PROXY", "socks4://hunter2.example.org"),
        ("HTTP_PROXY", "http://hunter2\x01"),
        ("HTTPS_PROXY", "://hunter2"),
        ("NO_PROXY", "http://hunter2:port"),
    ],
)
def test_a_proxy_that_is_no_address_is_one_sentence(tmp_path, monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as refused:
        connect(tmp_path)

    assert str(refused.value) == INVALID.format(name)


@pytest.mark.parametrize("content", [None, "hunter2"])
def test_certificates_that_can_not_be_read_are_one_sentence(tmp_path, monkeypatch, content):
    path = tmp_path / "certificates.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))

    with pytest.raises(SettingsError) as refused:
        connect(tmp_path)

    assert str(refused.value) == (
        "SSL_CERT_FILE can't be used: it must be a file with certificates in PEM format that can be read."
    )


def test_an_alert_names_the_proxy_that_can_not_be_used(tmp_path, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://user:hunter2@proxy.example.org:1080")
    alerts = Alerts(DataDir(tmp_path), "https://hooks.example.org/hunter2")

    with pytest.raises(SettingsError) as refused:
        alerts.send_once(RunFailure("acme", "Acme on 2026-03-10", "No connection.", "run"))

    assert str(refused.value) == SOCKS.format("ALL_PROXY")


def test_a_sandbox_on_this_machine_needs_no_proxy(tmp_path, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example.org:1080")
    truto = Truto(Settings(data_dir=tmp_path, base_url="http://127.0.0.1:1", token=SecretStr("token")))

    with truto.connect() as client:
        assert client.requests == 0


def test_another_missing_module_stays_as_it_is():
    with pytest.raises(ImportError, match="other"), convert_network_setting_errors():
        raise ImportError("other")
