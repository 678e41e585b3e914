"""The address of a bucket, and the endpoint that the environment names for it.

Belongs here: which variables of a cloud replace its endpoint, and which endpoints are safe. Not here: requests (`bucket.py`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from lms_pipeline.errors import SettingsError

_CLOUDS: Final = {
    "s3": ("AWS", ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")),
    "gs": ("Google Cloud", ("GOOGLE_BASE_URL",)),
    "az": ("Azure", ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")),
}
"""The cloud of a scheme, and the variables with which obstore finds another endpoint."""
_EMULATOR: Final = ("AZURE_STORAGE_USE_EMULATOR", "AZURITE_BLOB_STORAGE_URL", "http://127.0.0.1:10000")
"""The variable that chooses Azure's emulator, the one with its address, and its default."""
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """Where a bucket is."""

    cloud: str
    """The name of the cloud, for people."""
    is_plain: bool
    """Whether requests go over plain http, to this machine."""


def read_address(url: str) -> BucketAddress:
    """Return where the bucket of `LMS_LAKE_URL` is, with the endpoint of the environment.

    Raises:
        SettingsError: the endpoint is neither https nor this machine.
    """
    cloud, names = _CLOUDS[urlsplit(url).scheme]
    endpoints = {name: os.environ[name] for name in names if os.environ.get(name)}
    if cloud == "Azure" and os.environ.get(_EMULATOR[0], "").lower() in {"1", "true", "yes", "on", "t", "y"}:
        endpoints[_EMULATOR[1]] = os.environ.get(_EMULATOR[1]) or _EMULATOR[2]
    for name, endpoint in endpoints.items():
        if not _is_safe(endpoint):
            raise SettingsError(
                f"{name} can't be used: it must be an https address; plain http is allowed for this machine only."
            )
    return BucketAddress(cloud, any(endpoint.startswith("http://") for endpoint in endpoints.values()))


def _is_safe(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        return bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        )
    except ValueError:  # its message may contain a part of the address
        return False
