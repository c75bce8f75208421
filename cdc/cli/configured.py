"""Opens the configuration for the commands that need one."""

from __future__ import annotations

import os
from pathlib import Path

from cdc.cli.importing import uncollected
from cdc.files import set_umask
from cdc.spi import registry
from cdc_config import Configuration, load


def open_configuration(file: Path) -> Configuration:
    """Load the file and make its folder the working directory: relative paths mean that, plug-ins' too.

    The process makes files with the rights that the file names.
    """
    configuration = load_configuration(file)
    prepare_process(configuration)
    return configuration


def load_configuration(file: Path) -> Configuration:
    """Load the file; the process stays as it is."""
    with uncollected():
        return load(file, registry.load)


def prepare_process(configuration: Configuration) -> None:
    """Make the file's folder the working directory, and take the rights from new files that it names."""
    set_umask(configuration.umask)
    os.chdir(configuration.file.parent)
