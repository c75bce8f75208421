"""Replaces `${NAME}`, `${NAME:-default}`, `${file:/path}` and `${credential:name}` in text.

`$${` is a literal `${`. Defaults are literal text: nothing is replaced inside them. What comes from
outside the text is a secret to everything above.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_VARIABLE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)
_FILE_PREFIX = "file:"
_CREDENTIAL_PREFIX = "credential:"
# As systemd names credentials (systemd.exec(5)): one name of a file, so that no reference leaves the folder.
_CREDENTIAL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}")
# The folder of a service's credentials, which systemd names to the service alone.
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"

# A secret is a line of text: this keeps a mistyped path (a database file, a log) from being read whole.
MAX_SECRET_FILE_BYTES = 64 * 1024


class UnresolvedReference(Exception):
    """A reference that can't be replaced: what is wrong, and what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(message)


@dataclass(slots=True)
class Interpolation:
    """Replaces references from one environment; remembers the values, so that messages can hide them, and the
    files that they came from.
    """

    environment: Mapping[str, str]
    folder: Path
    inserted: set[str] = field(default_factory=set)
    files: set[Path] = field(default_factory=set)

    def apply(self, text: str) -> str:
        """The text with its references replaced. Raises UnresolvedReference."""
        return _REFERENCE.sub(self._replace, text)

    def _replace(self, match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match[1] is None:
            remedy = "Close it, or write '$${' for a literal '${'."
            raise UnresolvedReference("has a '${' without its '}'", remedy)
        return self._value(match[1])

    def _value(self, reference: str) -> str:
        if reference.startswith(_FILE_PREFIX):
            return self._remember(self._read(self.folder / reference.removeprefix(_FILE_PREFIX)))
        if reference.startswith(_CREDENTIAL_PREFIX):
            return self._remember(self._credential(reference.removeprefix(_CREDENTIAL_PREFIX)))
        variable = _VARIABLE.fullmatch(reference)
        if variable is None:
            raise UnresolvedReference(
                "has an invalid reference",
                "Write ${NAME}, ${NAME:-default}, ${file:/path} or ${credential:name};"
                " '$${' is a literal '${'.",
            )
        name, default = variable["name"], variable["default"]
        value = self.environment.get(name)
        if default is not None and not value:
            return default
        if value is None:
            raise UnresolvedReference(
                f"needs the environment variable {name}, which is not set",
                f"Set {name}, or give a default: ${{{name}:-…}}.",
            )
        return self._remember(value)

    def _remember(self, value: str) -> str:
        self.inserted.add(value)
        return value

    def _credential(self, name: str) -> str:
        """The text of a credential that systemd passed to this service."""
        if not _CREDENTIAL.fullmatch(name):
            remedy = "Write the name that LoadCredential= or SetCredential= has in the unit."
            raise UnresolvedReference("names no valid credential", remedy)
        folder = self.environment.get(CREDENTIALS_VARIABLE)
        if not folder:
            raise UnresolvedReference(
                f"needs the credential {name}, and systemd passed none to this process",
                f"Add LoadCredential={name}:PATH to the unit, or use ${{file:PATH}} outside systemd.",
            )
        path = Path(folder, name)
        # A folder that may not be searched is an error of `_read`, which names it.
        if os.access(folder, os.X_OK) and not os.path.lexists(path):
            raise UnresolvedReference(
                f"needs the credential {name}, which systemd did not pass to this service",
                f"Add LoadCredential={name}:PATH to the unit, then run: systemctl daemon-reload",
            )
        return self._read(path)

    def _read(self, path: Path) -> str:
        self.files.add(path)
        try:
            with path.open("rb") as file:
                content = file.read(MAX_SECRET_FILE_BYTES + 1)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UnresolvedReference(f"needs the file {path}, which cannot be read ({reason})") from error
        return _secret_text(path, content)


def _secret_text(path: Path, content: bytes) -> str:
    if len(content) > MAX_SECRET_FILE_BYTES:
        limit = f"{MAX_SECRET_FILE_BYTES // 1024} KiB"
        raise UnresolvedReference(f"needs the file {path}, which is larger than {limit}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        # The cause would quote the secret's bytes.
        raise UnresolvedReference(f"needs the file {path}, which is not UTF-8 text") from None
    return text.rstrip("\r\n")
