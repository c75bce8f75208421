"""MySQL and MariaDB as a source: the binary log for changes, chunks by primary key for snapshots."""
