"""The command `cdc`: one file a command; the one place that knows both configuration and engine."""
