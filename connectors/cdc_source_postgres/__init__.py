"""PostgreSQL as a source: logical replication by pgoutput, snapshots by COPY BINARY."""

from cdc_source_postgres.source import PostgresSource

__all__ = ["PostgresSource"]
