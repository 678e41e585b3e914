"""What the demo and the UI after it share: the sandbox's world.

What belongs here: which of the generated accounts a demo shows.
"""

from __future__ import annotations

from lms_pipeline.sandbox.world import World


def demo_world() -> World:
    """The generated accounts, without those that answer for one learner and course at a time, which we can't pull."""
    from lms_pipeline.sandbox.generated.world import generated_world

    return generated_world(accounts=[a.id for a in generated_world().accounts() if not a.demands_pair])
