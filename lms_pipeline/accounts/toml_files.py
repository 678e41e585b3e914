"""Files of settings in TOML: `LMS_ACCOUNTS_FILE` and `LMS_RULES_FILE`.

Belongs here: reading one, with errors that name the setting and the file. Not here: what is in it (`options.py`,
`rules.py`).
"""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

import msgspec

from lms_pipeline.errors import SettingsError


def read_toml(path: Path, setting: str) -> dict[str, Any]:
    """Return the content of a file, unchecked; `setting` is the name of the setting that names the file.

    Raises:
        SettingsError: the file can't be read, or is no TOML.
    """
    try:
        document: dict[str, Any] = msgspec.toml.decode(path.read_bytes().removeprefix(BOM_UTF8))
    except OSError as error:
        todo = "check who may read it" if isinstance(error, PermissionError) else "correct the path"
        raise SettingsError(f"{setting} {path} can't be read: {error.strerror}; {todo}.") from None
    except (UnicodeDecodeError, RecursionError):
        raise SettingsError(f"{setting} {path} can't be used: it is no TOML in UTF-8.") from None
    except msgspec.DecodeError as error:
        raise SettingsError(f"{setting} {path} can't be used: {error}.") from None
    return document
