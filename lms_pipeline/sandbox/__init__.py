"""A local Truto server for demos and tests. Only the command line, the benchmarks and the tests import it."""

from lms_pipeline.sandbox.recorded_world import records_world
from lms_pipeline.sandbox.server import DEFAULT_PORT, DEFAULT_TOKEN, SandboxScript, read_script, running, serve
from lms_pipeline.sandbox.state import TRUTO_ACCOUNT_TIER, TRUTO_TOKEN_TIER, Clock, RunningSandbox, Switches, Tier
from lms_pipeline.sandbox.synthetic.world import generated_world
from lms_pipeline.sandbox.world import Account, Integration, Listing, Record, SandboxError, View, World

__all__ = [
    "DEFAULT_PORT",
    "DEFAULT_TOKEN",
    "TRUTO_ACCOUNT_TIER",
    "TRUTO_TOKEN_TIER",
    "Account",
    "Clock",
    "Integration",
    "Listing",
    "Record",
    "RunningSandbox",
    "SandboxError",
    "SandboxScript",
    "Switches",
    "Tier",
    "View",
    "World",
    "generated_world",
    "read_script",
    "records_world",
    "running",
    "serve",
]
