"""The bytes of pgoutput and COPY BINARY, decoded into Arrow: compiled, with pure-Python twins."""
