"""The command `cdc`: one file a command; the only place that knows the configuration and the engine at once."""
