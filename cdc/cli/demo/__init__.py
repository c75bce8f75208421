"""`cdc demo`: the main job on an embedded server, live, killed once, and proven equal at the end."""

from cdc.cli.demo.server import DemoFailed
from cdc.cli.demo.story import run_demo

__all__ = ["DemoFailed", "run_demo"]
