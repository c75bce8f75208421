"""Opens the configuration for the commands that need one."""

from __future__ import annotations

import os
from pathlib import Path

from cdc.cli.importing import uncollected
from cdc.cli.session import DEFAULT_CONFIG
from cdc.files import set_umask
from cdc.spi import registry
from cdc_config import Configuration, HttpSettings, load, load_http
from cdc_config.load import DEFAULT_FILE
from cdc_config.settings import DEFAULT_STATE_DIR

# Where a run without a file writes down its configuration: commands read it where there is no other.
REMEMBERED_FILE = Path(DEFAULT_STATE_DIR, DEFAULT_FILE)


def open_configuration(file: Path) -> Configuration:
    """Load the file and make its folder the working directory: relative paths mean that, plug-ins' too.

    The process makes files with the rights that the file names.
    """
    configuration = load_configuration(file)
    prepare_process(configuration)
    return configuration


def open_for_control(file: Path) -> Configuration:
    """Load the file as `open_configuration`, for a command that reaches sources and sinks by their names.

    The command needs none of the daemon's secrets: where a reference cannot be replaced, reading the options
    of that source or sink raises the error.
    """
    with uncollected():
        configuration = load(_present(file), registry.load, complete=False)
    prepare_process(configuration)
    return configuration


def open_http(file: Path) -> HttpSettings:
    """Load what the file says of the HTTP service, without its plug-ins: health checks run all day.

    The file's folder becomes the working directory.
    """
    file = _present(file)
    with uncollected():
        settings = load_http(file)
    os.chdir(file.absolute().parent)
    return settings


def load_configuration(file: Path) -> Configuration:
    """Load the file; the process stays as it is."""
    with uncollected():
        return load(_present(file), registry.load)


def prepare_process(configuration: Configuration) -> None:
    """Make the file's folder the working directory, and take the rights from new files that it names."""
    set_umask(configuration.umask)
    os.chdir(configuration.file.parent)


def _present(file: Path) -> Path:
    """The file; if nobody named one and there is none, the one that a run without a file has left."""
    if file == DEFAULT_CONFIG and not file.exists() and REMEMBERED_FILE.exists():
        return REMEMBERED_FILE
    return file
