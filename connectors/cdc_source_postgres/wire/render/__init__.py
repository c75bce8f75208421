"""Binary values rendered as the server renders them."""
