"""Migrations on Postgres."""
