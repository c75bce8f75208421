"""Writes a first config from what is in a server: `cdc init`."""

from __future__ import annotations


def describe(url: str) -> str:
    """A starter config as YAML text, comments included; the url itself stays out of it, for it may hold a
    password.

    Raises:
        ConfigError: the url is not one.
        SourceUnavailable, SourceRefused: the server can't be read.
    """
    raise NotImplementedError
