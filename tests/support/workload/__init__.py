"""The random workload of the fault campaigns: seeded writers on tables of every kind, and their oracle.

`tests.support.workload.postgres` and `tests.support.workload.mysql` hold what is each database's own.
"""

from __future__ import annotations

from tests.support.workload.run import Workload
from tests.support.workload.specs import SCHEMA

__all__ = ["SCHEMA", "Workload"]
