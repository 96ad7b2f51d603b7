"""A table copied as one would with ADBC: COPY in binary straight into Arrow, Parquet, two connections.

Each half is a file that is synced. The halves are two statements, each with a snapshot of its own. The driver has numeric as
text, and text it stays.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import adbc_driver_postgresql.dbapi
import peer
import pyarrow.parquet

PACKAGES = ["adbc-driver-postgresql", "pyarrow"]


def halves(url, table):
    """Two statements that select the table between them, by the page in its middle."""
    pages = f"select pg_relation_size('{table}') / current_setting('block_size')::int / 2"
    with adbc_driver_postgresql.dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(pages)
        middle = cursor.fetchone()[0]
    return [f"select * from {table} where ctid {side} '({middle},0)'" for side in ("<", ">=")]


def copy_part(url, select, path):
    rows = 0
    with adbc_driver_postgresql.dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(select)
        batches = cursor.fetch_record_batch()
        with pyarrow.parquet.ParquetWriter(
            path, batches.schema, compression="zstd", compression_level=1
        ) as file:
            for batch in batches:
                file.write_batch(batch)
                rows += batch.num_rows
    peer.sync(path)
    return rows


def copy(url, table, folder):
    os.makedirs(folder, exist_ok=True)
    selects = halves(url, table)
    with ThreadPoolExecutor(len(selects)) as threads:
        parts = [
            threads.submit(copy_part, url, select, os.path.join(folder, f"{number}.parquet"))
            for number, select in enumerate(selects)
        ]
        rows = sum(part.result() for part in parts)
    peer.sync(folder)
    return rows


peer.run(PACKAGES, ["URL", "TABLE", "FOLDER"], copy)
