"""Migrations on MySQL and MariaDB."""
