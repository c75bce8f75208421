"""The preflight check: everything that would keep a source from working, each finding with the statement that
mends it.

Nothing is created or changed on the server; one short connection is made.
"""

from __future__ import annotations

from cdc.spi.finding import Finding
from connectors.mysql.options import MysqlOptions


def run_checks(options: MysqlOptions, name: str) -> list[Finding]:
    """All findings for the source of that name in the config, in the order in which one would mend them."""
    raise NotImplementedError
