"""Operations on a replication for people and programs: stored state, status, checks, replay, copies.

The command line and the HTTP service only parse and print.
"""
