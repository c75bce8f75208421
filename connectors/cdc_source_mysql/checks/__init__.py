"""The parts of the preflight check of a MySQL or MariaDB source, one module a subject;
`cdc_source_mysql.check` runs them.
"""
