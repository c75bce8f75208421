"""The parts of the preflight check of a Postgres source, one module a subject; `connectors.postgres.check`
runs them.
"""
