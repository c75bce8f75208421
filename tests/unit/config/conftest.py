"""A plug-in with every kind of option, so that messages are tested without a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from cdc.errors import ConfigError, PluginError
from cdc.transform.settings import TransformList
from cdc.units import Duration
from cdc_config import TRANSFORMS, Configuration, InvalidConfig, load

Load = Callable[..., Configuration]
Messages = Callable[..., list[str]]


class Publish(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    interval: Duration


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: SecretStr | None = None
    path: Path | None = None
    tables: tuple[str, ...] = ("*",)
    mode: Literal["mirror", "append"] = "mirror"
    workers: int = Field(2, ge=1)
    failover: bool = False
    publish: Publish | None = None

    def places(self) -> Mapping[str, str]:
        url = self.url.get_secret_value() if self.url else None
        return {key: str(value) for key, value in (("path", self.path), ("url", url)) if value is not None}

    @field_validator("url")
    @classmethod
    def _must_have_a_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        if value and "://" not in value.get_secret_value():
            # A careless plug-in that repeats the value: the loader must hide it.
            raise ValueError(f"{value.get_secret_value()} has no scheme")
        return value

    @field_validator("path")
    @classmethod
    def _must_not_be_remote(cls, value: Path | None) -> Path | None:
        if value and str(value).startswith("s3:"):
            raise ConfigError("S3 is not supported", remedy="Use a folder.")
        return value


class Plugin:
    Options = Options


def find_plugin(group: str, type_name: str) -> Any:
    if type_name in ("postgres", "parquet", "duckdb"):
        return Plugin
    if type_name == TRANSFORMS:
        return TransformList
    raise PluginError(
        f"there is no {group.removeprefix('cdc.')[:-1]} type {type_name!r}", remedy="Did you mean 'postgres'?"
    )


@pytest.fixture
def load_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a text as `cdc.yaml` in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(
        text: str, environment: Mapping[str, str] | None = None, *, complete: bool = True
    ) -> Configuration:
        Path("cdc.yaml").write_text(text, "utf-8")
        return load(Path("cdc.yaml"), find_plugin, environment or {}, complete=complete)

    return run


@pytest.fixture
def messages(load_text: Load) -> Messages:
    """What is said of a text that is wrong, one line a problem."""

    def run(text: str, environment: Mapping[str, str] | None = None) -> list[str]:
        try:
            load_text(text, environment)
        except InvalidConfig as error:
            return [str(problem) for problem in error.problems]
        except ConfigError as error:
            return [str(error)]
        raise AssertionError("the text loads without a complaint")

    return run
