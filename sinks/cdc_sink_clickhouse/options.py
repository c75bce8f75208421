"""Options of a `type: clickhouse` sink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from cdc.sql import TableOptions

# Scheme → whether it is encrypted, and the port of ClickHouse's HTTP interface.
_SCHEMES = {
    "clickhouse": (False, 8123),
    "clickhouses": (True, 8443),
    "clickhouse+http": (False, 8123),
    "clickhouse+https": (True, 8443),
}
URL_SCHEMES = tuple(_SCHEMES)
URL_SHAPE = "clickhouse://USER:PASSWORD@HOST:8123"
_PARAMETERS = frozenset({"ca_cert", "client_cert", "client_cert_key", "verify", "server_host_name"})


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The parts of a URL; `parameters` are those of the TLS connection."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    is_secure: bool
    parameters: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class ClickHouseSinkOptions(TableOptions):
    """The options of a ClickHouse sink."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: SecretStr = Field(
        description=(
            "clickhouse://user:password@host:8123 (HTTP) or clickhouses://user:password@host:8443 (HTTPS)."
        )
    )
    engine: Literal["plain", "replicated"] = Field(
        default="plain",
        description=(
            "The engines of tables. plain: MergeTree and ReplacingMergeTree (ClickHouse Cloud replicates "
            "these); replicated: ReplicatedMergeTree and ReplicatedReplacingMergeTree."
        ),
    )
    cluster: str | None = Field(
        default=None,
        description="Create and alter tables ON CLUSTER with this name: one shard with its replicas.",
    )
    timestamps: Literal["native", "text"] = Field(
        default="native",
        description=(
            "How dates and timestamps are stored. native: Date32 and DateTime64, from 1900 to 2299; a table "
            "with other values is set aside; text: as text, of every year."
        ),
    )

    @field_validator("url")
    @classmethod
    def _url_is_an_address(cls, value: SecretStr) -> SecretStr:
        parse_url(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _clusters_replicate(self) -> Self:
        if self.cluster is not None and self.engine != "replicated":
            raise ValueError("cluster needs engine: replicated; plain tables would differ on each replica")
        return self

    @property
    def address(self) -> ServerAddress:
        """The parts of `url`."""
        return parse_url(self.url.get_secret_value())

    def places(self) -> Mapping[str, str]:
        """See `OwnsPlaces.places`."""
        return {"url": str(self.address)}


def parse_url(url: str) -> ServerAddress:
    """Return the parts of a URL; ValueError repeats none of it."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"the URL's scheme must be one of {', '.join(URL_SCHEMES)}: {URL_SHAPE}")
    is_secure, default_port = _SCHEMES[parts.scheme]
    try:
        port = parts.port or default_port
    except ValueError:
        raise ValueError(f"the URL's port is not a number: {URL_SHAPE}") from None
    if not parts.hostname:
        raise ValueError(f"the URL has no host: {URL_SHAPE}")
    if parts.path.strip("/") not in ("", "default"):
        raise ValueError(
            "the URL names a database, but each table goes into the database that has the name of its "
            "schema in the source: remove the path"
        )
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(parameters) - _PARAMETERS)
    if unknown:
        raise ValueError(
            f"the URL has the unknown parameter {unknown[0]!r}; possible: {', '.join(sorted(_PARAMETERS))}"
        )
    user, password = unquote(parts.username or "default"), unquote(parts.password or "")
    return ServerAddress(parts.hostname, port, user, password, is_secure, parameters)
