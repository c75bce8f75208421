"""Encrypts what a source keeps in the log of its own: column defaults in DDL and bounds of chunks are
values too.

AES-256-GCM under a key derived from `mask_key`. Nothing else reads these texts, so they need no form of
their own.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
from typing import Any

from cdc.errors import ConfigError, SourceGap
from cdc.installing import install_command
from cdc.spi.source import SEALED_PREFIX

_NONCE_BYTES = 12


class WrongKey(Exception):
    """The text was sealed under another key, or was changed."""


class Seal:
    """Seals texts for the disk, and opens them. Thread-safe."""

    def __init__(self, key: bytes) -> None:
        try:
            aead: Any = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
        except ModuleNotFoundError as error:
            raise ConfigError(
                "masks need the package cryptography, which is not installed",
                remedy=f"Run: {install_command('transforms', 'cryptography')}",
            ) from error
        self._cipher = aead.AESGCM(hashlib.sha256(b"cdc source state\0" + key).digest())
        self._errors: Any = importlib.import_module("cryptography.exceptions")

    def seal(self, text: str) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), None)
        return SEALED_PREFIX + base64.b85encode(sealed).decode()

    def open(self, text: str) -> str:
        """Return the sealed text; return a text that was kept before there was a key unchanged.

        Raises:
            WrongKey: it was sealed under another key.
        """
        if not text.startswith(SEALED_PREFIX):
            return text
        try:
            sealed = base64.b85decode(text.removeprefix(SEALED_PREFIX))
            return str(self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None).decode())
        except (ValueError, self._errors.InvalidTag):
            raise WrongKey from None


def unreadable(source: str) -> SourceGap:
    """Return the gap after a change of the key: no value in the log is masked alike; all is copied again."""
    return SourceGap(
        "the source state in the log was encrypted with another mask_key, or mask_key was removed",
        where=f"sources.{source}.mask_key",
        remedy=(
            "Restore the former key and run `cdc reload`, or copy all tables again: they are then masked"
            " with the new key."
        ),
    )
