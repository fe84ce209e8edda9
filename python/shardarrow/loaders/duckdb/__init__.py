"""Loading into DuckDB."""

from shardarrow.loaders.duckdb.inspection import saved_in
from shardarrow.loaders.duckdb.loader import DuckDBLoader

__all__ = ["DuckDBLoader", "saved_in"]
