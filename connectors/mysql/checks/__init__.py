"""The parts of the preflight check of a MySQL or MariaDB source, one module a subject;
`connectors.mysql.check` runs them.
"""
