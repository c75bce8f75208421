"""What a statement in the binlog does to tables, read without a server."""
