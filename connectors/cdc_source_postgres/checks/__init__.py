"""The parts of the preflight check of a Postgres source, one module a subject; `cdc_source_postgres.check`
runs them.
"""
