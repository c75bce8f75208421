"""What servers send of a table's definition."""

from __future__ import annotations

import pytest

from tests.support.mysql.server import MysqlDatabase


@pytest.fixture(params=["full", "default"])
def metadata(request: pytest.FixtureRequest, mysql_database: MysqlDatabase) -> str:
    """What a server's TABLE_MAP events contain: by default little on MySQL and nothing on MariaDB."""
    default = "minimal" if mysql_database.server.flavour == "mysql" else "no_log"
    wanted = "full" if request.param == "full" else default
    mysql_database.server.execute(f"set global binlog_row_metadata = {wanted}")
    return wanted
