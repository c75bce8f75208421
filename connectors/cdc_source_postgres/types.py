"""The types of PostgreSQL and what becomes of them in Arrow: what the rest of the connector uses of it."""

from cdc_source_postgres.type_catalog import CATALOG_QUERY, PgType, TypeCatalog, types_from_rows
from cdc_source_postgres.type_names import format_type
from cdc_source_postgres.type_plan import ColumnPlan, plan_column

__all__ = [
    "CATALOG_QUERY",
    "ColumnPlan",
    "PgType",
    "TypeCatalog",
    "format_type",
    "plan_column",
    "types_from_rows",
]
