"""What the demo and the UI after it share: the sandbox's world, and the mark that a data directory is a demo's.

What belongs here: these two. A real account's data is never mixed with the demo's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.disk import disk_errors
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.sandbox.world import World


def demo_world() -> World:
    """The generated accounts, without those that answer for one learner and course at a time, which we can't pull."""
    from lms_pipeline.sandbox.generated.world import generated_world

    return generated_world(accounts=[a.id for a in generated_world().accounts() if not a.demands_pair])


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
