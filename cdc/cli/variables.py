"""The environment variable of every option: `CDC_RUN_LOG_LEVEL` is `--log-level` of `cdc run`."""

from __future__ import annotations

from typing import Any

EPILOG = "Every option has an environment variable: CDC_RUN_LOG_LEVEL is --log-level of cdc run."
# They print something in place of the command, or change the shell.
_WITHOUT_VARIABLE = {"--help", "--version", "--install-completion", "--show-completion"}


def with_variables(command: Any, *path: str) -> Any:
    """Return the command, each option of it with its variable, which goes before one that it has already."""
    for parameter in command.params:
        option = max(parameter.opts, key=len)
        if option.startswith("--") and option not in _WITHOUT_VARIABLE:
            own = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or []
            # Help texts name only those that differ from the rule.
            parameter.show_envvar = parameter.show_envvar and bool(own)
            parameter.envvar = list(dict.fromkeys([variable_of(option, *path), *own]))
    for name, inner in getattr(command, "commands", {}).items():
        if inner is not None:
            with_variables(inner, *path, name)
    return command


def variable_of(option: str, *path: str) -> str:
    """Return the variable of an option of the command at that path."""
    return "_".join(("CDC", *path, option.lstrip("-"))).replace("-", "_").upper()
