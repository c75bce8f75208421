"""Opens the configuration for the commands that need one."""

from __future__ import annotations

import os
from pathlib import Path

from cdc.cli.importing import uncollected
from cdc.cli.output import print_warning
from cdc.cli.session import DEFAULT_CONFIG
from cdc.errors import ConfigError
from cdc.files import set_umask
from cdc.spi import registry
from cdc_config import Configuration, HttpSettings, load, load_http, salvage_http
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


def open_for_state(file: Path, *, as_json: bool) -> Configuration:
    """Load the file as `open_for_control`, for a command that needs the daemon or its state only.

    If a file that is there has an error, warn of it, and use what the daemon reported last.
    """
    try:
        return open_for_control(file)
    except ConfigError as error:
        configuration = in_force(file, error)
        if configuration is None:
            raise
        note = f"Used instead: the last report of the daemon in {configuration.state_dir}"
        print_warning(error, note, as_json=as_json)
    prepare_process(configuration)
    return configuration


def in_force(file: Path, error: ConfigError) -> Configuration | None:
    """Return what the daemon of a file with this error reported last; None if no daemon has run."""
    # Only this waits for these imports: health checks load a good file all day.
    from cdc.control.in_force import configuration_in_force

    file = _present(file)
    return configuration_in_force(file, error) if file.is_file() else None


def open_http(file: Path, *, as_json: bool) -> HttpSettings:
    """Load what the file says of the HTTP service, without its plug-ins: health checks run all day.

    The file's folder becomes the working directory. If the file cannot be parsed, warn of it, and read this
    section only.
    """
    file = _present(file)
    try:
        with uncollected():
            settings = load_http(file)
    except ConfigError as error:
        if not file.is_file():
            raise
        settings = salvage_http(file)
        print_warning(error, "Used instead: its section http", as_json=as_json)
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
    """The file; without `--config` and without cdc.yaml, the one that a run without a file has left."""
    if file == DEFAULT_CONFIG and not file.exists() and REMEMBERED_FILE.exists():
        return REMEMBERED_FILE
    return file
