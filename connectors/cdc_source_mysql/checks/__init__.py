"""The preflight check of a MySQL or MariaDB source, one module a subject; `preflight` runs all of them."""
