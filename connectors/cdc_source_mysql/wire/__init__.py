"""The bytes of the binlog and of result sets, decoded into Arrow: compiled, with pure-Python twins."""
