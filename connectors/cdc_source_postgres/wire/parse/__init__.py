"""Text that the server rendered, parsed into columns."""
