"""What people and programs ask of a replication: what is stored, status, checks, replay, copies.

The command line and the HTTP service only parse and print.
"""
