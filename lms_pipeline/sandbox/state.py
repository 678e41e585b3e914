"""What a running sandbox is driven by.

What belongs here: the one place that holds what tests and people change while it runs. Each of them is a module of
its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lms_pipeline.sandbox.clock import Clock
from lms_pipeline.sandbox.connections import Connections
from lms_pipeline.sandbox.errors import SandboxError
from lms_pipeline.sandbox.faults.fault import LISTS
from lms_pipeline.sandbox.faults.script import Script
from lms_pipeline.sandbox.wire.journal import Journal
from lms_pipeline.sandbox.wire.limits import Limits
from lms_pipeline.sandbox.wire.stats import Stats
from lms_pipeline.sandbox.wire.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lms_pipeline.sandbox.faults.fault import Fault


@dataclass
class Controls:
    """The clock, the switches, the faults, who may ask, and what was asked."""

    connections: Connections
    clock: Clock = field(default_factory=Clock)
    switches: Switches = field(default_factory=Switches)
    script: Script = field(default_factory=Script)
    limits: Limits = field(default_factory=Limits)
    stats: Stats = field(default_factory=Stats)
    journal: Journal = field(default_factory=Journal)
    routes: set[str] = field(default_factory=set)
    """The routes that there are, with ids left out."""

    def add_faults(self, faults: Sequence[Fault]) -> None:
        """Script more faults.

        Raises:
            SandboxError: one of them is about an account or a route that isn't there, and could never strike.
        """
        self.check_faults(faults)
        self.script.add(faults)

    def check_faults(self, faults: Sequence[Fault]) -> None:
        """See that each fault could strike, without scripting it; raises as `add_faults`."""
        for fault in faults:
            if fault.account is not None and self.connections.account(fault.account) is None:
                known = ", ".join(account.id for account in self.connections.accounts())
                raise SandboxError(
                    f"There is no account {fault.account} for the fault {fault.kind}: {known}."
                )
            if fault.route is not None and not any(_covers(route, fault.route) for route in self.routes):
                known = ", ".join(sorted(self.routes))
                raise SandboxError(f"There is no route {fault.route} for the fault {fault.kind}: {known}.")
            if fault.only_in_lists and fault.route is not None and fault.route not in LISTS:
                known = ", ".join(sorted(LISTS))
                raise SandboxError(
                    f"The fault {fault.kind} strikes lists alone, and {fault.route} is none: {known}."
                )

    def clear_faults(self) -> None:
        """Drop every fault, and take back what they revoked."""
        self.script.replace([])
        self.connections.restore()

    def stats_told(self) -> dict[str, Any]:
        """The requests by account and route, and how many each limit refused."""
        return {**self.stats.told(), "limited": dict(self.limits.refused)}

    def clear_counts(self) -> None:
        """Begin counting anew."""
        self.stats.clear()
        self.journal.clear()
        self.limits.refused.clear()


def _covers(route: str, path: str) -> bool:
    """Whether the route is the path, or leads there with some ids."""
    pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(route))
    return route == path or re.fullmatch(pattern, path) is not None
