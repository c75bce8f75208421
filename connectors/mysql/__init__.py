"""MySQL and MariaDB as a source: the binary log for changes, chunks by primary key for snapshots."""

from connectors.mysql.source import MysqlSource

__all__ = ["MysqlSource"]
