"""Credentials inside of links.

Belongs here: the parameters, path segments and passwords of a link. Not here: which names are credentials'
(`names.py`), and strings in JSON (`truto/secret_keys.py`).
"""

from __future__ import annotations

import re

from lms_pipeline.truto.credentials.names import REMOVED, is_credential_text, is_link_credential_name

_LINK = re.compile(
    r"""(?P<host>[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s"'<>\\/?#]*)(?P<rest>[^\s"'<>\\]*)|(?P<path>[/?#][^\s"'<>\\]+)"""
)
"""A link with its host, or a path, and what follows."""
_PASSWORD = re.compile(r"(?<=://)([^\s:@]*):([^\s@]+)@")
_PARAMETER = re.compile(r"(?<=[/?&;#])([^=:/?&;#]*[A-Za-z])(?:(=)([^&;#]+)|(:)([^/?&;#]+))")
"""A parameter `name=value`, or a segment `name:value` of the path, as TalentLMS writes them."""


def remove_link_credentials(text: str) -> str:
    """Return a text whose links hold no credentials; nothing else of them changes."""
    return _LINK.sub(_clean_link, text)


def _clean_link(link: re.Match[str]) -> str:
    host = _PASSWORD.sub(rf"\1:{REMOVED}@", link["host"] or "")
    return host + _PARAMETER.sub(_clean_parameter, link["rest"] or link["path"] or "")


def _clean_parameter(parameter: re.Match[str]) -> str:
    name, equals, value, colon, segment = parameter.groups()
    if not is_link_credential_name(name) or not is_credential_text(name, value or segment):
        return parameter[0]
    return f"{name}{equals or colon}{REMOVED}"
