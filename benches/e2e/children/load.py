"""Mirrors a table's changes into a new DuckDB file.

load.py URL TABLE
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import duckdb

import shardarrow as sa


def main() -> None:
    url, table = sys.argv[1:]
    source = sa.dynamodb(
        table,
        start="earliest",
        endpoint_url=url,
        region="us-east-1",
        access_key_id="key",
        secret_access_key="secret",
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mirror.duckdb"
        begun = time.perf_counter()
        report = sa.load(source, f"duckdb:///{file}", table="mirror", follow=False, settle=0.5)
        wall = time.perf_counter() - begun
        with duckdb.connect(str(file)) as connection:
            found = connection.execute("select count(*) from mirror").fetchone()
    print(json.dumps({"rows": report.rows, "wall": wall, "items": found[0] if found else 0}))


main()
