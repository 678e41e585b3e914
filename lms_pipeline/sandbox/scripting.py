"""Files that script a sandbox: switches and faults in TOML.

What belongs here: reading such a file. What can stand in it is `wire/switches.py` and `faults/script.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lms_pipeline.sandbox.errors import SandboxError
from lms_pipeline.sandbox.faults.script import AnyFault
from lms_pipeline.sandbox.wire.switches import Switches

if TYPE_CHECKING:
    from pathlib import Path


class SandboxScript(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a sandbox is started with: a table `[switches]`, and one `[[faults]]` for each fault."""

    switches: Switches = Switches()
    faults: tuple[AnyFault, ...] = ()


def read_script(path: Path) -> SandboxScript:
    """The script in a TOML file.

    Raises:
        SandboxError: it can't be read, or says something that can't be scripted.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=SandboxScript)
    except OSError as error:
        raise SandboxError(f"The script {path} can't be read: {error.strerror or error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SandboxError(f"The script {path} can't be used: {error}.") from None
