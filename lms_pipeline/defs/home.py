"""Dagster's home with our `dagster.yaml`: its creation, and its repair if a power cut or a full disk left it unfinished.

Belongs here: telling an unfinished file from an edited one. Not here: the instance in that folder (`instance.py`).
"""

from __future__ import annotations

import logging
import re
from importlib.resources import files
from pathlib import Path

import msgspec
from filelock import FileLock

from lms_pipeline.errors import SettingsError
from lms_pipeline.storage.disk import atomic_write, convert_disk_errors

CONFIG_NAME = "dagster.yaml"
_COMMENTED_SECTION = re.compile(r"^# ?\w+:\s*$", re.MULTILINE)

log = logging.getLogger(__name__)


def prepare_home(home: Path) -> Path:
    """Create Dagster's home with our `dagster.yaml`, and return the path of that file.

    An unfinished file is written again; one that a person edited stays as it is.

    Raises:
        LakeError: the folder can't be written.
        SettingsError: the file was edited and is no YAML.
    """
    config = home / CONFIG_NAME
    template = files(__package__).joinpath(CONFIG_NAME).read_text(encoding="utf-8")
    with convert_disk_errors(home):
        home.mkdir(parents=True, exist_ok=True)
        if not _is_unfinished(config, template):
            _check_yaml(config)
            return config
        with FileLock(home / f"{CONFIG_NAME}.lock"):
            if _is_unfinished(config, template):  # another process may have written it meanwhile
                if config.exists():
                    log.warning("%s was empty or cut short: it is now as lms-pipeline creates it.", config)
                with atomic_write(config) as new:
                    new.write_text(template, encoding="utf-8")
    return config


def _is_unfinished(config: Path, template: str) -> bool:
    """Return whether the file is missing, holds no setting, or ends within our own text and within one of its sections.

    After a power cut a file may also have its full length, with zeros in place of the missing text. A person may have
    removed whole sections, or made comments of them.
    """
    if not config.exists():
        return True
    text = config.read_text(encoding="utf-8", errors="replace").removeprefix("\ufeff").rstrip("\0")
    settings, ours = _skip_comments(text), _skip_comments(template)
    if settings == ours or not ours.startswith(settings):
        return False
    if not settings:
        return not _COMMENTED_SECTION.search(text)
    return not (text.endswith("\n") and _has_whole_sections(text, template))


def _has_whole_sections(text: str, template: str) -> bool:
    """Return whether each section of the text is as in the template."""
    try:
        sections, ours = (msgspec.yaml.decode(part, type=dict[str, object]) for part in (text, template))
    except msgspec.DecodeError:
        return False
    return all(ours.get(name) == value for name, value in sections.items())


def _skip_comments(text: str) -> str:
    """Return the text from its first setting on: the comment before it differs between versions."""
    lines = text.splitlines()
    first = next((number for number, line in enumerate(lines) if not _is_comment(line)), len(lines))
    return "\n".join(lines[first:]).rstrip()


def _is_comment(line: str) -> bool:
    return not line.strip("\0 \t") or line.lstrip().startswith("#")


def _check_yaml(config: Path) -> None:
    """Refuse a file that Dagster can't read, in a sentence without its content, which may hold a password.

    Raises:
        SettingsError: it is no YAML, or no table of settings.
    """
    try:
        is_table = isinstance(msgspec.yaml.decode(config.read_bytes()), dict | None)  # None: comments only
    except (msgspec.DecodeError, UnicodeDecodeError):
        is_table = False
    if not is_table:
        raise SettingsError(
            f"{config} can't be used: it is not the YAML of Dagster's settings; correct it, or remove it, and lms-pipeline "
            "writes a new one."
        )
