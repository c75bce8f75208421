"""Tables and their types: the catalog, definitions and their history, and the DDL that changes them."""
