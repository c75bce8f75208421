"""The random workload of the fault campaign: seeded writers on tables of every kind, and their oracle."""

from __future__ import annotations

from tests.support.workload.run import Workload
from tests.support.workload.tables import SCHEMA

__all__ = ["SCHEMA", "Workload"]
