"""Facts for a report of a problem: the machine, the folder of the state, and which keys the file sets.

No value of the configuration is among them but the types: a value may be a secret, or name a customer.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from cdc.control.live import memory_limit_bytes
from cdc.readable import show_bytes
from cdc_config import Configuration, ConfiguredSink, ConfiguredSource

# Settings of the daemon that the environment can make begin so.
VARIABLE_PREFIX = "CDC_"
# Keys whose entries are listed one by one.
_SECTIONS = ("sources", "sinks")


def machine_facts(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what the daemon has to work with on this machine."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    variables = sorted(name for name in environment if name.startswith(VARIABLE_PREFIX))
    return {
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "libc": " ".join(platform.libc_ver()).strip() or "unknown",
        "processors": str(len(os.sched_getaffinity(0))),
        "memory limit": show_bytes(memory_limit_bytes()),
        "open files": f"at most {files:,}",
        "account": f"{os.geteuid()}:{os.getegid()}",
        "variables": ", ".join(variables) or "none",
    }


def folder_facts(folder: Path) -> dict[str, str]:
    """Return what the file system says of the state's folder, or of its nearest parent that exists."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    usage, details = shutil.disk_usage(existing), existing.stat()
    return {
        "exists": "yes" if existing == folder else "not yet",
        "owner": f"{details.st_uid}:{details.st_gid}, mode {details.st_mode & 0o7777:o}",
        "disk": f"{show_bytes(usage.free)} free of {show_bytes(usage.total)}",
    }


def configured_facts(configuration: Configuration) -> dict[str, str]:
    """Return the keys that the file sets; for each source and sink, its type too."""
    top = {key: "is set" for key in configuration.keys if key not in (*_SECTIONS, "http")}
    if "http" in configuration.keys:
        top["http"] = f"sets {', '.join(_set(configuration.http)) or 'nothing'}"
    sections: dict[str, ConfiguredSource | ConfiguredSink] = {
        **{f"sources.{name}": one for name, one in configuration.sources.items()},
        **{f"sinks.{name}": one for name, one in configuration.sinks.items()},
    }
    return top | {
        path: f"{one.settings.type}, sets {', '.join(_set(one.settings) + _set(one.options)) or 'no more'}"
        for path, one in sections.items()
    }


def _set(model: BaseModel) -> list[str]:
    """The keys as in the file, in the order of the model."""
    fields = type(model).model_fields
    return [
        field.alias or name
        for name, field in fields.items()
        if name in model.model_fields_set and name != "type"
    ]
