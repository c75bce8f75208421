"""The keys of `http`: where the daemon's HTTP service listens, and who may use it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path as FilePath

from pydantic import BaseModel, ConfigDict, Field, SecretStr

# Loopback: on this machine only. The port is registered for nothing else that runs beside a database.
DEFAULT_LISTEN = "127.0.0.1:8765"
# What `listen` is where there is no service.
OFF = "off"
# A shorter one could be found by trying; `openssl rand -hex 32` prints 64 characters.
MIN_TOKEN_LENGTH = 16
HOW_TO_MAKE_ONE = (
    "Make one with `openssl rand -hex 32`, and write token: ${CDC_TOKEN} or ${file:/run/secrets/cdc-token}."
)
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")


class TlsSettings(BaseModel):
    """The certificate of the service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cert: FilePath = Field(description="A PEM file with the certificate, followed by those of its issuers.")
    key: FilePath = Field(description="A PEM file with the private key, without a passphrase.")


class HttpSettings(BaseModel):
    """Health, metrics, status and control over HTTP."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = Field(
        DEFAULT_LISTEN,
        min_length=1,
        description="The address to listen on: ADDRESS:PORT, or off. Port 0 takes a free port.",
    )
    token: SecretStr | None = Field(
        None,
        description=(
            "The token of requests that pause, resume, replay, copy or reload, from the "
            "environment or a file."
        ),
    )
    tls: TlsSettings | None = Field(None, description="The certificate and its key, for HTTPS.")
    behind_proxy: bool = Field(
        default=False,
        description=(
            "Whether to serve other machines without TLS, because a proxy in front has the certificate."
        ),
    )

    @property
    def address(self) -> HttpAddress | None:
        """Where the service listens; None if it is off."""
        return None if self.listen == OFF else parse_address(self.listen)

    @property
    def secret(self) -> str | None:
        """The token; None without one."""
        value = self.token.get_secret_value() if self.token is not None else ""
        return value or None


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """A host (a name or an IP address) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class HttpProblem:
    """Problem with a key, and its remedy."""

    key: str
    message: str
    remedy: str


def parse_address(text: str) -> HttpAddress:
    """Return the address; ValueError for anything but HOST:PORT."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(text)
    return HttpAddress(match["six"] or match["host"], int(match["port"]))


def problem_of(settings: HttpSettings) -> HttpProblem | None:
    """Return why a service with these settings must not start.

    On an address that other machines reach, requests need a token, which must not travel in the clear.
    """
    try:
        address = settings.address
    except ValueError:
        remedy = f"Write {DEFAULT_LISTEN}, [::1]:8765 or off."
        return HttpProblem("listen", "must be ADDRESS:PORT or off", remedy)
    secret = settings.secret
    if secret is not None and len(secret) < MIN_TOKEN_LENGTH:
        return HttpProblem("token", f"is shorter than {MIN_TOKEN_LENGTH} characters", HOW_TO_MAKE_ONE)
    if address is None or address.is_loopback:
        return None
    reached = f"other machines reach {address}"
    if secret is None:
        remedy = f"{HOW_TO_MAKE_ONE} Or listen on {DEFAULT_LISTEN}."
        return HttpProblem("token", f"is required: {reached}", remedy)
    if settings.tls is None and not settings.behind_proxy:
        remedy = (
            "Write tls: {cert: PATH, key: PATH}; or behind_proxy: true if a proxy in front of the "
            f"service has the certificate; or listen on {DEFAULT_LISTEN}."
        )
        return HttpProblem("tls", f"is required: {reached}", remedy)
    return None
