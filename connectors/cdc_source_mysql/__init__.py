"""MySQL and MariaDB as a source: the binary log for changes, chunks by primary key for snapshots."""

from cdc_source_mysql.source import MysqlSource

__all__ = ["MysqlSource"]
