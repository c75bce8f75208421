"""PostgreSQL as a source: logical replication by pgoutput, snapshots by COPY BINARY."""

from connectors.postgres.source import PostgresSource

__all__ = ["PostgresSource"]
