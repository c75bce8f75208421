"""Parts that the plug-ins for Postgres share: URLs as libpq reads them, and connections whose failures have a
SQLSTATE.
"""
