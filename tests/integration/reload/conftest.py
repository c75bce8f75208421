"""The projects of the command line's tests."""

from tests.integration.cli.conftest import project

__all__ = ["project"]
