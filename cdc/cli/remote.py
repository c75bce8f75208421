"""A daemon elsewhere, asked over its HTTP API. Its answers are parsed into what local commands return."""

from __future__ import annotations

import http.client
import os
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlencode, urlsplit

import orjson

import cdc
from cdc.control.composition import pick
from cdc.control.pause import PauseResult
from cdc.control.problems import parse_problem, together
from cdc.control.reload import ReloadResult
from cdc.control.replay import ReplayResult, wait_until_applied
from cdc.control.snapshot import CopyResult
from cdc.control.status import DaemonView, Status
from cdc.errors import CdcError, ConfigError
from cdc_config import HttpAddress

API = "/api/v1"
TOKEN_VARIABLE = "CDC_HTTP_TOKEN"  # noqa: S105  (the name of a variable)
# The daemon waits itself, a minute at most, until its workers have done what they were asked for.
TIMEOUT_SECONDS = 90.0
_PORTS = {"http": 80, "https": 443}
# Where the API names a parameter, the command names its option.
_PLACES = {
    "/pause": {"name": "pause NAME", "kind": "--kind"},
    "/resume": {"name": "resume NAME", "kind": "--kind"},
    "/replay": {"sink": "replay SINK", "source": "--source", "from": "--from"},
    "/checkpoints": {"limit": "--limit"},
    "/snapshot": {"source": "snapshot SOURCE", "tables": "snapshot TABLE", "sink": "--sink"},
}
_TOKEN = re.compile(r"[!-~]+")
_HOW_TO_SEND_ONE = f"Write http.token of the daemon into {TOKEN_VARIABLE}, or into a file for --token-file."
AnswerT = TypeVar("AnswerT")


class RemoteDaemon:
    """The daemon behind a URL such as `https://cdc.example.com:8765`, whose path may have a prefix.

    Raises:
        ConfigError: the URL is not one of an HTTP service, or would send the token in the clear.
    """

    def __init__(self, url: str, token: str | None) -> None:
        parts = _parsed(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        is_local = HttpAddress(host, port).is_loopback
        if token is not None and parts.scheme == "http" and not is_local:
            remedy = (
                "Write https://, or reach the daemon through a tunnel to this machine: kubectl port-forward"
            )
            raise ConfigError("would send the token in the clear", where="--daemon", remedy=remedy)
        self._url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._prefix = parts.path.rstrip("/")
        self._host, self._port, self._is_tls = host, port, parts.scheme == "https"
        self._token = token

    def status(self) -> Status:
        return self._asked("GET", "/status", None, Status.parse)

    def checkpoints(self, source: str | None, limit: int) -> list[dict[str, Any]]:
        query: dict[str, str | int] = {"limit": limit}
        if source is not None:
            pick(self.status().sources, source, "source", "checkpoints SOURCE")
            query["source"] = source
        return self._asked("GET", f"/checkpoints?{urlencode(query)}", None, _parsed_checkpoints)

    def pause(self, name: str, tables: Sequence[str], kind: str | None) -> PauseResult:
        body = {"name": name, "tables": [*tables], "kind": kind}
        return self._asked("POST", "/pause", body, PauseResult.parse)

    def resume(self, name: str, tables: Sequence[str], kind: str | None) -> PauseResult:
        body = {"name": name, "tables": [*tables], "kind": kind}
        return self._asked("POST", "/resume", body, PauseResult.parse)

    def replay(self, sink: str, place: str, source: str | None, *, wait: bool) -> ReplayResult:
        body = {"sink": sink, "from": place, "source": source}
        result = self._asked("POST", "/replay", body, ReplayResult.parse)
        if wait and result.taken:
            wait_until_applied(result, self._view, "--wait")
        return result

    def snapshot(self, names: Sequence[str], sink: str | None) -> CopyResult:
        # As on this machine: a source's name has no dot, a table's always has one.
        has_source = bool(names) and "." not in names[0]
        body = {
            "source": names[0] if has_source else None,
            "tables": [*names[1:]] if has_source else [*names],
            "sink": sink,
        }
        return self._asked("POST", "/snapshot", body, CopyResult.parse)

    def reload(self, *, dry_run: bool) -> ReloadResult:
        path = "/reload?dry_run=true" if dry_run else "/reload"
        return self._asked("POST", path, {}, ReloadResult.parse)

    def _view(self) -> DaemonView:
        return self.status().daemon

    def _asked(
        self, method: str, path: str, body: Any, parse: Callable[[dict[str, Any]], AnswerT]
    ) -> AnswerT:
        """Return the parsed answer.

        Raises:
            CdcError: no daemon answers, it refuses, or it is of a version that answers otherwise.
        """
        status, document = self._sent(method, f"{API}{path}", body)
        if status != http.client.OK:
            raise self._refusal(path.partition("?")[0], status, document)
        try:
            return parse(document)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._other_version(has_changed=method == "POST") from error

    def _sent(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Return status and document of the answer; the document is None unless it is JSON."""
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        data = None if body is None else orjson.dumps(body)
        connection = self._connection()
        try:
            connection.request(method, f"{self._prefix}{path}", data, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        try:
            return answer.status, orjson.loads(text)
        except orjson.JSONDecodeError:
            return answer.status, None

    def _connection(self) -> http.client.HTTPConnection:
        if not self._is_tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_SECONDS, context=context)

    def _unreachable(self, error: Exception) -> CdcError:
        reason = getattr(error, "strerror", None) or type(error).__name__
        remedy = "The daemon's log names its address: `serving HTTP`. Check host and port, and that it runs."
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"its certificate is not trusted: {error.verify_message}"
            remedy = (
                "Use the name that the certificate has, and write the file of the authority that issued it "
                "into SSL_CERT_FILE."
            )
        elif isinstance(error, ssl.SSLError):
            reason, remedy = "it does not speak TLS", "Write http:// if a tunnel to this machine is the way."
        elif isinstance(error, TimeoutError):
            reason = "it has not answered in time"
        elif isinstance(error, http.client.HTTPException | ConnectionResetError) and not self._is_tls:
            reason = "it does not speak HTTP"
            remedy = "Write https:// if it has a certificate (http.tls)."
        return CdcError(f"the daemon cannot be reached: {reason}", where=self._where, remedy=remedy)

    def _refusal(self, path: str, status: int, document: Any) -> CdcError:
        """The error of an answer that is not 200."""
        found = document.get("error") if isinstance(document, dict) else None
        if not isinstance(found, dict) or status in (404, 405):
            return self._other_version(has_changed=False)
        if status == http.client.UNAUTHORIZED:
            where = self._where if self._token is None else f"{self._where}, token"
            return ConfigError(f"{found['message']}", where=where, remedy=_HOW_TO_SEND_ONE)
        if status == http.client.FORBIDDEN:
            remedy = "Set http.token of the daemon (`openssl rand -hex 32` makes one), and restart it."
            return CdcError("without http.token, it changes nothing", where=self._where, remedy=remedy)
        places = _PLACES.get(path, {})

        def named(problem: Mapping[str, str]) -> CdcError:
            return parse_problem({**problem, "where": places.get(problem["where"], problem["where"])})

        return together([named(one) for one in found.get("problems") or [found]])

    def _other_version(self, *, has_changed: bool) -> CdcError:
        """The error of an answer of another shape; `has_changed` if the daemon may have acted."""
        _, document = self._sent("GET", f"{API}/openapi.json", None)
        try:
            version = str(document["info"]["version"])
        except (KeyError, TypeError):
            remedy = "Write the URL of `serving HTTP` in the daemon's log, or of the proxy in front of it."
            return CdcError("no daemon of cdc answers there", where=self._where, remedy=remedy)
        done = " It may have done what it was asked for: see its page." if has_changed else ""
        remedy = f"Run the command of version {version}, such as in the daemon's container.{done}"
        message = f"the daemon has version {version}, whose answer version {cdc.__version__} does not know"
        return CdcError(message, where=self._where, remedy=remedy)

    @property
    def _where(self) -> str:
        return f"--daemon {self._url}"


def read_token(file: Path | None) -> str | None:
    """Return the token of the file, else of the environment; None if there is none.

    Raises:
        ConfigError: the file cannot be read, or what it holds is no token.
    """
    where = TOKEN_VARIABLE if file is None else f"--token-file {file}"
    try:
        text = os.environ.get(TOKEN_VARIABLE, "") if file is None else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        remedy = "Name a file that holds the token only, and that this account may read."
        raise ConfigError(f"cannot be read: {reason}", where=where, remedy=remedy) from error
    token = text.strip()
    if not token and file is None:
        return None
    if not _TOKEN.fullmatch(token):
        remedy = "Write one line: the value of http.token."
        raise ConfigError("holds no token", where=where, remedy=remedy)
    return token


def _parsed_checkpoints(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one | {"at": datetime.fromisoformat(one["at"])} for one in document["checkpoints"]]


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right or parts.username or parts.password or parts.query or parts.fragment:
        # A part of a wrong URL may be a secret.
        remedy = "Write a URL such as https://cdc.example.com:8765, and the token into CDC_HTTP_TOKEN."
        raise ConfigError("is not the URL of an HTTP service", where="--daemon", remedy=remedy)
    return parts
