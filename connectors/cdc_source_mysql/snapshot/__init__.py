"""Copies of tables in chunks of their keys, at positions of the binlog."""
