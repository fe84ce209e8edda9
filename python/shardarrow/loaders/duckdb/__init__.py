"""Loading into DuckDB."""

from .loader import DuckDBLoader

__all__ = ["DuckDBLoader"]
