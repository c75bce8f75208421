"""Turns pydantic's errors into ours: one sentence each, at a line and a key path, with a remedy."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cdc.errors import CdcError, ConfigError
from cdc_config.document import Document, describe
from cdc_config.problem import Path, did_you_mean

Model = TypeVar("Model", bound=BaseModel)

# A longer value is hardly a mistyped word, and may be a secret at the wrong key.
_MAX_SHOWN = 40
# Values under keys with these words in them are never repeated.
_SECRET_WORDS = ("password", "secret", "token", "key", "url", "dsn", "credential", "conninfo", "user")

_EXPECTED = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number of at most 19 digits",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "path_type": "must be a path",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "is too short: {min_length} characters or more",
    "string_too_long": "is too long: {max_length} characters at most",
    "too_short": "has too few entries: {min_length} or more",
    "too_long": "has too many entries: {max_length} at most",
}
# Kinds whose wrong value is shown when it can't be a secret; for the others its type says enough.
_SHOWS_VALUE = ("literal_error", "enum", "greater_than", "greater_than_equal", "less_than", "less_than_equal")


def validate(
    model: type[Model],
    value: Mapping[str, Any],
    document: Document,
    path: Path,
    extra_keys: tuple[str, ...] = (),
) -> tuple[Model | None, list[ConfigError]]:
    """The model of that value, or the problems; `extra_keys`: what else a misspelt key may have meant."""
    try:
        return model.model_validate(dict(value)), []
    except ValidationError as error:
        section = _Section(document, path, model, extra_keys)
        return None, [section.problem(detail) for detail in error.errors(include_url=False)]
    except CdcError as error:
        problem = document.problem(path, error.message, error.remedy)
        return None, [problem]


def known_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys of a model as in the file."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


@dataclass(frozen=True, slots=True)
class _Section:
    document: Document
    path: Path
    model: type[BaseModel]
    extra_keys: tuple[str, ...]

    def problem(self, detail: ErrorDetails) -> ConfigError:
        path = self._path(detail["loc"])
        kind = detail["type"]
        if kind == "missing":
            return self.document.problem(path, "is required", f"Add {path[-1]!r} here.")
        if kind == "extra_forbidden":
            remedy = did_you_mean(str(path[-1]), self._siblings(path))
            return self.document.problem(path, "is not a known key", remedy)
        if kind in _EXPECTED:
            return self._expected(detail, path)
        reason = detail.get("ctx", {}).get("error")
        return self.document.problem(path, _own_words(detail), getattr(reason, "remedy", ""))

    def _expected(self, detail: ErrorDetails, path: Path) -> ConfigError:
        context = dict(detail.get("ctx", {}))
        value = detail["input"]
        message = _EXPECTED[detail["type"]].format_map(context).replace("'", "")
        if not detail["type"].endswith(("_short", "_long")):
            message = f"{message} (got {self._got(detail['type'], value, path)})"
        return self.document.problem(path, message, _remedy(detail["type"], value, context))

    def _got(self, kind: str, value: object, path: Path) -> str:
        shown = str(value)
        is_open = isinstance(value, (str, int, float)) and len(shown) <= _MAX_SHOWN and "\n" not in shown
        if kind not in _SHOWS_VALUE or not is_open or self.document.is_outside(path) or _is_secret(path):
            return describe(value)
        return repr(value) if isinstance(value, str) else shown.lower()

    def _path(self, location: tuple[str | int, ...]) -> Path:
        """The part of pydantic's location that is in the file, or is missing there; it has more parts."""
        path = self.path
        last = len(location) - 1
        for index, part in enumerate(location):
            deeper = (*path, part)
            if deeper in self.document.lines or (index == last and part in self._siblings(deeper)):
                path = deeper
        return path

    def _siblings(self, path: Path) -> tuple[str, ...]:
        inner = path[len(self.path) : -1]
        if not inner:
            return known_keys(self.model) + self.extra_keys
        models: list[type[BaseModel]] = [self.model]
        for part in inner:
            if isinstance(part, int):
                continue  # An entry of a list has the models of the list.
            models = [found for model in models for found in _models_under(model, part)]
        return tuple(key for model in models for key in known_keys(model))


def _models_under(model: type[BaseModel], key: str | int) -> Iterator[type[BaseModel]]:
    for name, field in model.model_fields.items():
        if key == (field.alias or name):
            yield from _models_in(field.annotation)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)


def _is_secret(path: Path) -> bool:
    return any(word in part.lower() for part in path if isinstance(part, str) for word in _SECRET_WORDS)


def _remedy(kind: str, value: object, context: Mapping[str, Any]) -> str:
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        return "Put it in quotes."
    if kind in ("list_type", "tuple_type", "set_type") and isinstance(value, str):
        return "Put it in brackets: [a, b]."
    if kind in ("literal_error", "enum") and isinstance(value, str):
        choices = str(context.get("expected", "")).replace(" or ", ", ").replace("'", "").split(", ")
        near = did_you_mean(value, choices)
        return near if near.startswith("Did") else ""
    return ""


def _own_words(detail: ErrorDetails) -> str:
    """The message of a plug-in's own validator, or pydantic's for a kind that has no sentence here."""
    reason = detail.get("ctx", {}).get("error")
    text = str(reason) if isinstance(reason, Exception) else detail["msg"]
    return text.rstrip(".")
