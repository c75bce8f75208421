"""Options of a `type: postgres` sink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import ConfigDict, Field, SecretStr, field_validator

from cdc.sql import TableOptions
from cdc_libpq.urls import check_complete, parse_settings, search_path_parameters

# Settings that the sink sets itself.
_RESERVED_SETTINGS = ("client_encoding", "fallback_application_name", "replication")
_SCHEMAS = "remove it: each table goes into the schema that it has in the source"
_SESSION = "remove it, and give an address that keeps a session: the server's own, or pool_mode=session"
_FOREIGN = {**search_path_parameters(_SCHEMAS), "pgbouncer": ("Prisma", _SESSION)}


class PostgresSinkOptions(TableOptions):
    """The options of a Postgres sink."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: SecretStr = Field(description="postgresql://user:password@host:port/database, or key=value pairs.")
    nul: Literal["refuse", "replace"] = Field(
        default="refuse",
        description=(
            "NUL characters in text, which PostgreSQL cannot store: refuse: set the table aside; replace: "
            "store ␀ (U+2400)."
        ),
    )

    @field_validator("url")
    @classmethod
    def _url_is_a_connection_string(cls, value: SecretStr) -> SecretStr:
        check_complete(parse_url(value.get_secret_value()), _RESERVED_SETTINGS)
        return value

    def places(self) -> Mapping[str, str]:
        """See `OwnsPlaces.places`."""
        return {"url": place_of(self.settings)}

    @property
    def settings(self) -> dict[str, str]:
        """The settings in `url`."""
        return parse_url(self.url.get_secret_value())


def parse_url(url: str) -> dict[str, str]:
    """Return the settings in a connection string. Raises ValueError, which repeats none of it."""
    return parse_settings(url, _FOREIGN)


def place_of(settings: Mapping[str, str]) -> str:
    """Return the database in words, without user and password: `host:port/database`."""
    host = settings.get("host") or settings.get("hostaddr") or "localhost"
    database = settings.get("dbname") or f"service {settings.get('service', '')}"
    return f"{host}:{settings.get('port') or 5432}/{database}"
