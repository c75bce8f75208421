"""The preflight check of a Postgres source, one module a subject; `preflight` runs all of them."""
