"""The contract of plug-ins that can be given by a URL on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class UrlEntry:
    """The entry of a configuration made from a URL: a name, and the options of the plug-in.

    The name is the same whenever the URL is: the state is kept under it.
    """

    name: str
    options: Mapping[str, str]


@runtime_checkable
class ReadsUrl(Protocol):
    """A source or sink whose class reads URLs, for `cdc run URL --to URL`."""

    url_schemes: ClassVar[tuple[str, ...]]
    """The schemes of its URLs."""

    url_shape: ClassVar[str]
    """An example of one, with words in place of secrets."""

    @classmethod
    def from_url(cls, url: str) -> UrlEntry:
        """Return the entry; connects to nothing. ValueError as the plug-in's options raise it."""
        ...
