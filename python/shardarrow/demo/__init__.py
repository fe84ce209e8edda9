"""`shardarrow demo`: a table changes, a DuckDB file follows, and in the end every row is compared."""

from .story import run

__all__ = ["run"]
