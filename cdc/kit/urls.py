"""Connection URLs as people paste them: raw characters in passwords, other tools' schemes and parameters.

The errors are `ValueError`s, as pydantic expects of validators. They contain no part of the user, password or
host.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

# Reads a password without echo, and prints it encoded for a URL.
ENCODE_COMMAND = (
    "python3 -c 'import getpass, urllib.parse as u; print(u.quote(getpass.getpass(), safe=\"\"))'"
)
# Characters that end the user or password of a URL unless they are encoded, and how they are written.
_ENCODED = {"@": "%40", "/": "%2F", "?": "%3F", "#": "%23"}
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CREDENTIALS = re.compile(r"[^@/]*@")
_PARAMETERS_BEGIN = re.compile(r"\?[A-Za-z][\w.-]*=")
# `jdbc:postgresql`, `postgresql+psycopg2`, `mysql2`: a scheme of another tool, never a secret.
_SCHEME = re.compile(r"(?:[a-z][a-z0-9]*:)?[a-z][a-z0-9]*(?:\+[a-z0-9_]+)?", re.IGNORECASE)
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")

# What to do about a parameter of another tool that changes nothing here.
REMOVE = "it has no meaning here: remove it"
# Parameters of several tools: name, in lower case → whose it is, and what does the same here.
_POOL = "the daemon opens few connections and needs no pool: remove it"
COMMON_FOREIGN: Mapping[str, tuple[str, str]] = {
    "connection_limit": ("Prisma", f"{_POOL} (`snapshot_workers` sets how many connections copy)"),
    "pool_timeout": ("Prisma", _POOL),
    "socket_timeout": ("Prisma", REMOVE),
    "statement_cache_size": ("Prisma", REMOVE),
    "sslidentity": ("Prisma", "remove it, and give the client certificate as PEM files"),
    "pool": ("Rails", _POOL),
    "checkout_timeout": ("Rails", _POOL),
    "prepared_statements": ("Rails", REMOVE),
    "reconnect": ("Rails", "the daemon always reconnects: remove it"),
    "encoding": ("Rails", "text is always read as UTF-8: remove it"),
    "charset": ("SQLAlchemy", "text is always read as UTF-8: remove it"),
    "pool_size": ("SQLAlchemy", _POOL),
    "max_overflow": ("SQLAlchemy", _POOL),
    "driver": ("SQLAlchemy", REMOVE),
    "usessl": ("JDBC", "remove it, and set the TLS parameter of this connector"),
    "rewritebatchedinserts": ("JDBC", REMOVE),
    "sockettimeout": ("JDBC", REMOVE),
    "tcpkeepalive": ("JDBC", "connections are always kept alive: remove it"),
}


class UnusableUrl(ValueError):
    """A URL that cannot be used as written; `remedy` is the instruction that fixes it."""

    def __init__(self, message: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class UrlRules:
    """Syntax of one connector's URLs.

    `shape` is an example; `breaking` are the characters that end a user or password where they stand there
    raw. `foreign` maps the names of other tools' parameters, in lower case, to the tool and the way out.
    `as_written` gives the name under which a parameter is looked up.
    """

    schemes: tuple[str, ...]
    shape: str
    breaking: str
    foreign: Mapping[str, tuple[str, str]]
    as_written: Callable[[str], str] = str

    def check(self, url: str, known: Iterable[str]) -> None:
        """Raise ValueError for a URL of another tool, raw characters, and parameters that are not `known`."""
        refuse_scheme(url, self.schemes, self.shape)
        refuse_raw_characters(url, self.breaking)
        refuse_foreign_parameters(map(self.as_written, parameter_names(url)), self.foreign, known)


def refuse_raw_characters(url: str, breaking: str) -> None:
    """Raise UnusableUrl where the user or password holds one of the `breaking` characters, which end it.

    What follows such a character would be taken for the host or database, and be shown in messages. Only URLs
    are looked at: a list of `key=value` pairs needs no codes.
    """
    scheme, is_url, rest = url.partition("://")
    if not is_url or "=" in scheme:
        return
    body, _ = _split(rest)
    credentials, has_credentials, _ = body.rpartition("@")
    if not has_credentials:
        return
    found = [character for character in breaking if character in credentials]
    codes = [f"{character} as {_ENCODED[character]}" for character in found]
    if _BAD_PERCENT.search(credentials):
        found.append("%")
        codes.append("% as %25")
    if found:
        message = f"the user, password or database in the url contains a raw {' and '.join(found)}"
        remedy = f"Write {', '.join(codes)}. To encode a password for a url, run: {ENCODE_COMMAND}"
        raise UnusableUrl(message, remedy)


def parameter_names(url: str) -> list[str]:
    """Return the names of the parameters after the `?` of a URL, in order."""
    scheme, is_url, rest = url.partition("://")
    if not is_url or "=" in scheme:
        return []
    return [name for name, _ in parse_qsl(_split(rest)[1], keep_blank_values=True)]


def _split(rest: str) -> tuple[str, str]:
    """Return the text from `://` up to the parameters, and the parameters. A `?` before the @ begins none."""
    credentials = _CREDENTIALS.match(rest)
    found = _PARAMETERS_BEGIN.search(rest, credentials.end() if credentials else 0)
    return (rest[: found.start()], rest[found.start() + 1 :]) if found else (rest, "")


def local_path(url: str, shape: str) -> str:
    """Return the path in a URL of a file or folder: `duckdb:///shop.duckdb` is in the working directory,
    `duckdb:////data/shop.duckdb` absolute. Raise UnusableUrl for any other form.
    """
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or parts.query or parts.fragment or not path:
        message = f"the url must be {parts.scheme}:/// and a path"
        raise UnusableUrl(message, f"Write {shape}, or with an absolute path {parts.scheme}:////PATH")
    return path


def nearest_scheme(url: str, schemes: Iterable[str]) -> str:
    """Return which of `schemes` another tool's scheme means: `postgresql` for `jdbc:postgresql://`."""
    scheme = url.partition("://")[0].lower()
    if "://" not in url or not _SCHEME.fullmatch(scheme):
        return ""
    bare = re.sub(r"^[a-z0-9]+:|\+.*$|\d+$", "", scheme)
    return next((known for known in schemes if known == bare), "")


def refuse_scheme(url: str, schemes: Iterable[str], shape: str) -> None:
    """Raise UnusableUrl for a URL with the scheme of another tool, such as `jdbc:postgresql://`."""
    scheme, is_url, _ = url.partition("://")
    if is_url and scheme.lower() not in schemes and _SCHEME.fullmatch(scheme):
        message = f"the url begins with {scheme}://, which this connector does not support"
        raise UnusableUrl(message, f"Write {shape}")


def refuse_foreign_parameters(
    names: Iterable[str], foreign: Mapping[str, tuple[str, str]], known: Iterable[str]
) -> None:
    """Raise ValueError that names each parameter of the URL that is not in `known`, and what to do about it.

    `foreign` maps the names of other tools' parameters, in lower case, to the tool and the way out. A name
    that is in neither is shown only if it looks like one.
    """
    taken = sorted(known)
    unknown = [name for name in names if name not in taken]
    if not unknown:
        return
    table = {**COMMON_FOREIGN, **foreign}
    raise ValueError("; ".join(dict.fromkeys(_unknown_parameter(name, table, taken) for name in unknown)))


def _unknown_parameter(name: str, foreign: Mapping[str, tuple[str, str]], known: Sequence[str]) -> str:
    if name.lower() in foreign:
        tool, way_out = foreign[name.lower()]
        return f"the url has {tool}'s parameter {name}: {way_out}"
    near = difflib.get_close_matches(name, known, n=1)
    way_out = f"did you mean {near[0]}?" if near else "remove it"
    # What does not look like a name may be a part of a password.
    return f"the url has an unknown parameter{f' {name}' if _PARAMETER.fullmatch(name) else ''}: {way_out}"
