"""The mark that a data directory is a demo's, so that a real account's data is never mixed with the sandbox's.

What belongs here: setting and minding it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.disk import disk_errors
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import LOOPBACK


@dataclass(frozen=True)
class DemoMark:
    """A file that says that the accounts in a data directory are the sandbox's."""

    data: DataDir

    @property
    def path(self) -> Path:
        """The file."""
        return self.data.state / "demo"

    def is_set(self) -> bool:
        """Whether the demo ran here."""
        return self.path.exists()

    def check(self, base_url: str) -> None:
        """Refuse to bring accounts of a real Truto among the demo's.

        Raises:
            WrongUseError: the directory is a demo's, and the address is not of this machine.
        """
        if self.is_set() and urlsplit(base_url).hostname not in LOOPBACK:
            raise WrongUseError(
                f"{self.data.root} is the demo's: give your own accounts another folder with LMS_DATA_DIR."
            )

    def set(self) -> None:
        """Mark the directory.

        Raises:
            WrongUseError: it holds accounts of a real Truto.
        """
        if self.data.registry.exists() and not self.is_set():
            raise WrongUseError(
                f"{self.data.root} holds accounts that are not the demo's: give the demo a folder with --data-dir."
            )
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
