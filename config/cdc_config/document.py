"""Reads a YAML file into plain values, remembering the line of every key and which values came from outside.

Scalars follow YAML 1.2's core schema, so `no` and `on` are text and `0123` keeps its zero; a text with a
reference is always text.
Duplicate keys, merge keys, tags and recursive aliases are refused: a file means one thing only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from cdc.errors import ConfigError
from cdc_config.interpolation import Interpolation, UnresolvedReference
from cdc_config.problem import InvalidConfig, Path, format_path

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# `500_000` is a number, `0123` (a postal code, a password) is text.
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+")

# PyYAML's messages quote aliases and anchors, which may be a password's beginning; token names such as
# '<scalar>' may stay.
_QUOTED_WORD = re.compile(r" '[^'<][^']+'")

# Values shorter than this are not hidden in messages of plug-ins: "1" or "on" would blank out half of it.
MIN_HIDDEN_LENGTH = 4

# A configuration is a page or two; more is a mistyped path.
MAX_FILE_BYTES = 4 * 1024 * 1024


class _Loader(yaml.SafeLoader):
    """Composes nodes only; scalars are resolved below, by our rules."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (PyYAML's own way to say so)


@dataclass(slots=True)
class Document:
    """The file's value and, by key path, its lines. `unresolved` are references that could not be replaced:
    their values are None. `secret_files` are those that references name.
    """

    name: str
    value: dict[str, Any] = field(default_factory=dict)
    lines: dict[Path, int] = field(default_factory=dict)
    outside: set[Path] = field(default_factory=set)
    inserted: set[str] = field(default_factory=set)
    secret_files: set[FilePath] = field(default_factory=set)
    unresolved: dict[Path, ConfigError] = field(default_factory=dict)

    def problem(self, path: Path, message: str, remedy: str = "") -> ConfigError:
        """An error at that path, or at its nearest parent that is in the file."""
        where = f"{self.name}:{self.line(path)}" if self.lines else self.name
        if path:
            where = f"{where}: {format_path(path)}"
        return ConfigError(self._hidden(message), where=where, remedy=self._hidden(remedy))

    def line(self, path: Path) -> int:
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1

    def is_outside(self, path: Path) -> bool:
        """Return whether the value there, or anything it holds, came from the environment or a file."""
        return any(known[: len(path)] == path for known in self.outside)

    def unresolved_below(self, path: Path) -> list[ConfigError]:
        """Return the problems of references there, or in anything it holds, that could not be replaced."""
        return [problem for known, problem in self.unresolved.items() if known[: len(path)] == path]

    def _hidden(self, text: str) -> str:
        for value in sorted(self.inserted, key=len, reverse=True):
            if len(value) >= MIN_HIDDEN_LENGTH:
                text = text.replace(value, "***")
        return text


def read_document(file: FilePath, environment: Mapping[str, str], *, complete: bool = True) -> Document:
    """The file, parsed and with its references replaced. Raises InvalidConfig with all problems found.

    If it need not be `complete`, a reference that cannot be replaced is no problem yet.
    """
    interpolation = Interpolation(environment, file.absolute().parent)
    return parse_document(_read_text(file), str(file), interpolation, complete=complete)


def read_section(file: FilePath, environment: Mapping[str, str], key: str) -> Document:
    """The section of a key at the file's top, read by itself, for a file that cannot be parsed as a whole.

    It is empty if the file has no such key. Errors as `read_document`, if it need not be complete.
    """
    kept, is_inside = [], False
    for line in _read_text(file).splitlines():
        if line[:1].strip() and not line.startswith("#"):
            is_inside = re.match(rf"{key}\s*:", line) is not None
        # Lines keep their numbers.
        kept.append(line if is_inside else "")
    if not any(kept):
        return Document(str(file))
    interpolation = Interpolation(environment, file.absolute().parent)
    return parse_document("\n".join(kept), str(file), interpolation, complete=False)


def parse_document(text: str, name: str, interpolation: Interpolation, *, complete: bool = True) -> Document:
    """The same for text that is already read."""
    root = _compose(text, name)
    reader = _Reader(Document(name), interpolation)
    value = reader.read(root, ())
    reader.document.inserted = interpolation.inserted
    reader.document.secret_files = interpolation.files
    if not isinstance(value, dict):
        message = f"must be a mapping (got {describe(value)})"
        raise InvalidConfig([reader.document.problem((), message, _SHAPE)])
    unresolved = () if complete else tuple(reader.document.unresolved.values())
    problems = [problem for problem in reader.problems if problem not in unresolved]
    if problems:
        raise InvalidConfig(problems)
    reader.document.value = value
    return reader.document


def describe(value: object) -> str:
    """The kind of a value, for messages: never the value."""
    for kind, words in _WORDS:
        if isinstance(value, kind):
            return words
    return "nothing" if value is None else type(value).__name__


_WORDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a string"),
    (list, "a list"),
    (dict, "a mapping"),
)
_SHAPE = "Start with 'sources:' and 'sinks:'; `cdc init URL` writes a file to begin with."


def _read_text(file: FilePath) -> str:
    where = str(file)
    try:
        with file.open("rb") as handle:
            content = handle.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        remedy = "Write one with `cdc init URL`, or name another with --config."
        raise ConfigError("there is no such file", where=where, remedy=remedy) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = "Check the path and its permissions."
        if isinstance(error, PermissionError):
            remedy = f"Let the account {os.geteuid()} read it: chmod a+r {file.name}, if it has no secret."
        raise ConfigError(f"reading the configuration: {reason}", where=where, remedy=remedy) from error
    if len(content) > MAX_FILE_BYTES:
        message = f"is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB"
        raise ConfigError(message, where=where, remedy="Is this the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        where = f"{where}:{line}"
        raise ConfigError("is not UTF-8 text", where=where, remedy="Save the file as UTF-8.") from None


def _compose(text: str, name: str) -> yaml.Node:
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _syntax_problem(error, text, name) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"has the control character U+{int(error.character):04X}, which YAML forbids"
        raise ConfigError(message, where=f"{name}:{line}", remedy="Remove it.") from None
    finally:
        if loader is not None:
            loader.dispose()
    if node is None:
        raise ConfigError("is empty", where=name, remedy=_SHAPE)
    return node


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, name: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    lines = text.splitlines()
    at = lines[line - 1] if line <= len(lines) else ""
    if "\t" in at[: len(at) - len(at.lstrip())]:
        return ConfigError("is indented with a tab", where=f"{name}:{line}", remedy="YAML wants spaces.")
    column = mark.column + 1 if mark else 1
    problem = _QUOTED_WORD.sub("", error.problem or "is invalid")
    message = f"is not valid YAML: {problem} (column {column})"
    return ConfigError(message, where=f"{name}:{line}", remedy="Check indentation, quotes and colons.")


@dataclass(slots=True)
class _Reader:
    """Walks the nodes once; `open_nodes` are the current node's ancestors, to notice a recursive alias."""

    document: Document
    interpolation: Interpolation
    problems: list[ConfigError] = field(default_factory=list)
    open_nodes: list[int] = field(default_factory=list)

    def read(self, node: yaml.Node, path: Path) -> Any:
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self.open_nodes:
            self._refuse(path, "contains itself by an alias", "Remove the alias.")
            return None
        if node.tag not in _PLAIN_TAGS:
            self._refuse(
                path, "has a tag", "Write the value without it; put text that starts with ! in quotes."
            )
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self.open_nodes.append(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return dict(self._pairs(node, path))
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        finally:
            self.open_nodes.pop()

    def _pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(self.document.problem(path, "has a key that is not a plain name"))
                continue
            key = str(key_node.value)
            self.document.lines.setdefault((*path, key), line)
            if key in first_lines:
                self._duplicate((*path, key), first_lines[key], line)
                continue
            first_lines[key] = line
            yield key, self.read(value_node, (*path, key))

    def _duplicate(self, path: Path, first: int, second: int) -> None:
        where = f"{self.document.name}:{second}: {format_path(path)}"
        message = f"is a duplicate key (first defined on line {first})"
        self.problems.append(ConfigError(message, where=where, remedy="Keep one of them."))

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text = str(node.value)
        if "${" in text:
            return self._interpolated(text, path)
        return text if node.style is not None else _resolve(text)

    def _interpolated(self, text: str, path: Path) -> str | None:
        try:
            value = self.interpolation.apply(text)
        except UnresolvedReference as error:
            problem = self.document.problem(path, error.message, error.remedy)
            self.document.unresolved[path] = problem
            self.problems.append(problem)
            return None
        if text.replace("$${", "") != text and "${" not in text.replace("$${", ""):
            return value
        self.document.outside.add(path)
        return value

    def _refuse(self, path: Path, message: str, remedy: str) -> None:
        self.problems.append(self.document.problem(path, message, remedy))


# What composing gives where the file names no tag.
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}


def _resolve(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
