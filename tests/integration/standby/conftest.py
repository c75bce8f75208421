"""The projects of the command line's tests."""

from tests.integration.cli.conftest import finished, project, run_folder

__all__ = ["finished", "project", "run_folder"]
