"""`cdc health`: asks the running daemon over HTTP whether it works, for health checks of containers."""

from __future__ import annotations

import http.client
import ssl
from typing import Annotated, Any

import orjson
import typer

from cdc.cli.configured import open_http
from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.errors import CdcError, ConfigError
from cdc_config import HttpAddress
from cdc_config.http import DEFAULT_LISTEN, HttpSettings, parse_address

# Healthy daemons answer in milliseconds; a health check has 20 s with the start of this command.
TIMEOUT_SECONDS = 5.0
# What a service that listens everywhere answers on.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (the address that is replaced)


def health(
    config: ConfigOption = DEFAULT_CONFIG,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether changes flow, not only whether the daemon works.")
    ] = False,
    listen: Annotated[
        str | None,
        typer.Option(
            "--http",
            metavar="ADDRESS:PORT",
            envvar="CDC_HTTP",
            help="Where the daemon serves HTTP. Default: http.listen of the configuration.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the daemon whether it works.

    The exit code is 1 if it does not, or does not answer.
    """
    settings = open_http(config, as_json=as_json)
    address = settings.address if listen is None else _address(listen)
    if address is None:
        remedy = f"Write http: {{listen: {DEFAULT_LISTEN}}} into the configuration, and restart the daemon."
        raise ConfigError("the daemon serves no HTTP", where="http.listen", remedy=remedy)
    status, answer = _ask(address, settings, "/readyz" if ready else "/healthz")
    if as_json:
        print_json(answer)
    elif ready:
        say(f"{answer['title']}. {answer['text']}".strip())
        if answer["remedy"]:
            say(f"  {answer['remedy']}")
    else:
        works = "works" if answer["alive"] else "hangs"
        say(f"The daemon {works}: it last reported {answer['age_seconds']} s ago.")
    if status != http.client.OK:
        raise typer.Exit(1)


def _address(text: str) -> HttpAddress:
    try:
        return parse_address(text)
    except ValueError as error:
        remedy = f"Write an address such as {DEFAULT_LISTEN}."
        raise ConfigError("must be ADDRESS:PORT", where="--http", remedy=remedy) from error


def _ask(address: HttpAddress, settings: HttpSettings, path: str) -> tuple[int, Any]:
    """Return the status and the document; CdcError if none comes."""
    connection = _connection(_EVERYWHERE.get(address.host, address.host), address.port, settings)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, orjson.loads(answer.read())
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        remedy = "`cdc status` says whether the daemon runs, and its log whether it is `serving HTTP`."
        raise CdcError(f"no daemon answers at {address}: {reason}", where="health", remedy=remedy) from error
    finally:
        connection.close()


def _connection(host: str, port: int, settings: HttpSettings) -> http.client.HTTPConnection:
    if settings.tls is None:
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    # The certificate names the host that others use; this is the same machine, and nothing secret is sent.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
