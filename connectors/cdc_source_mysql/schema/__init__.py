"""The definitions of tables: character sets, types, the catalog, DDL, and their history along the binlog."""
