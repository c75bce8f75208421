"""Transforms: filters, masks, renames and routes of tables, on Arrow batches between a source and its
log.
"""
