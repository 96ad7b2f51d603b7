"""A table copied by DuckDB's extension for Postgres: binary COPY of ranges of pages, two threads, Parquet.

DuckDB does not sync what it copies to, so that is done here when it has ended.
"""

import os
from pathlib import Path

import duckdb
import duckdb_extension_postgres_scanner
import peer

PACKAGES = ["duckdb", "duckdb-extension-postgres-scanner"]
SETTINGS = {"threads": 2, "preserve_insertion_order": False, "autoinstall_known_extensions": False}


def copy(url, table, folder):
    os.makedirs(folder, exist_ok=True)
    [extension] = Path(duckdb_extension_postgres_scanner.__file__).parent.rglob("*.duckdb_extension")
    with duckdb.connect(config=SETTINGS) as duck:
        duck.load_extension(str(extension))
        duck.execute(f"attach '{url}' as server (type postgres, read_only)")
        copied = duck.execute(
            f"copy (select * from server.public.{table}) to '{folder}' "
            "(format parquet, compression zstd, compression_level 1, per_thread_output)"
        )
        [rows] = copied.fetchone()
    peer.sync_all(folder)
    return rows


peer.run(PACKAGES, ["URL", "TABLE", "FOLDER"], copy)
