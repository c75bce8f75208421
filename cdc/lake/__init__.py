"""Shared code of file targets: immutable files in an object store, committed exactly once.

A file format and a store make a sink: see `cdc.lake.sink`.
"""
