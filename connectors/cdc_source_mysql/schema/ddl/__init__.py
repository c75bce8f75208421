"""Effects of statements in the binlog on tables, read without a server."""
