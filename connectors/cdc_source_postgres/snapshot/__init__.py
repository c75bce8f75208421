"""Snapshots: views of tables, cut into chunks, copied, and completed by later ones."""
