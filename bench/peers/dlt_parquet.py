"""A table copied by dlt: its source for SQL databases over connectorx, its destination for files, Parquet.

connectorx reads two ranges of the first column at once, in binary, and hands on Arrow. dlt extracts to a file of its own,
normalizes, and copies the file to where it belongs; it syncs nothing, so that is done here when it has ended. The level of zstd
cannot be set: it is pyarrow's own, 1.
"""

import os

# dlt's own files go beside the lake, and nothing is told to anybody.
SETTINGS = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "DATA_WRITER__COMPRESSION": "zstd",
}
os.environ.update(SETTINGS)

import dlt
import peer
from dlt.sources.sql_database import sql_table
from sqlalchemy import create_engine, inspect

PACKAGES = ["dlt", "connectorx", "pyarrow", "SQLAlchemy"]
ROWS_OF_A_CHUNK = 100_000


def copy(url, table, folder):
    own = f"{folder}-own"
    os.environ["DLT_DATA_DIR"] = own
    engine = create_engine(url.replace("postgres://", "postgresql+psycopg2://"))
    ranges = {
        "conn": url.replace("postgres://", "postgresql://"),
        "return_type": "arrow_stream",
        "partition_on": inspect(engine).get_columns(table)[0]["name"],
        "partition_num": 2,
    }
    source = sql_table(
        engine,
        table=table,
        backend="connectorx",
        chunk_size=ROWS_OF_A_CHUNK,
        reflection_level="full_with_precision",
        backend_kwargs=ranges,
    )
    pipeline = dlt.pipeline(
        "peer",
        pipelines_dir=own,
        destination=dlt.destinations.filesystem(bucket_url=f"file://{folder}"),
        dataset_name="copy",
    )
    pipeline.run(source, loader_file_format="parquet", write_disposition="append")
    peer.sync_all(folder)
    return pipeline.last_trace.last_normalize_info.row_counts[table]


peer.run(PACKAGES, ["URL", "TABLE", "FOLDER"], copy)
