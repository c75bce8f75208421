"""The binlog as a stream of changes: positions, transactions, XA, and what a session must look up."""
