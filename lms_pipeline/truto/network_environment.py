"""The network settings in the environment that httpx reads by itself: proxies and certificates.

Belongs here: their faults in one sentence, without their values, which may hold a password. Not here: our own settings
(`settings.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from lms_pipeline.errors import SettingsError

PROXY_NAMES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
"""Variables with proxies, and with the hosts that need none. The names in lower case count too, and precede."""
CERTIFICATES_NAME = "SSL_CERT_FILE"


@contextmanager
def convert_network_setting_errors() -> Iterator[None]:
    """Raise the errors of httpx about these variables as one sentence. The block opens a client.

    Raises:
        SettingsError: a variable can't be used, or needs a package that is not installed.
    """
    try:
        yield
    except ImportError as error:
        if "socksio" not in str(error):
            raise
        names = _find_names(is_socks=True)
        raise SettingsError(
            f"{names} can't be used: a SOCKS proxy needs the package socksio; install it beside lms-pipeline with `pip install "
            "'httpx[socks]'`, or set the variable to an http proxy."
        ) from None
    except (httpx.InvalidURL, ValueError):
        raise SettingsError(
            f"{_find_names()} can't be used: a proxy must be an address like http://proxy.example.org:8080, and NO_PROXY a "
            "list of hosts, separated by commas."
        ) from None
    except OSError:
        raise SettingsError(
            f"{CERTIFICATES_NAME} can't be used: it must be a file with certificates in PEM format that can be read."
        ) from None


def _find_names(*, is_socks: bool = False) -> str:
    """Return the variables that are set, as a list for people; or those with a SOCKS proxy."""
    names = (spelling for name in PROXY_NAMES for spelling in (name.lower(), name))
    found = [name for name in names if (value := os.environ.get(name)) and (not is_socks or value.startswith("socks"))]
    return " or ".join(found or ["The proxy of this machine"])
