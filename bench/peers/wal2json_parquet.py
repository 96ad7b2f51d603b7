"""A change consumer as one would write it in Python: wal2json over the replication protocol, typed columns, Parquet.

Durable before confirmed, as ours is: a file is written, synced and renamed, and only then the server is told.
"""

import json
import os
import time

import peer
import psycopg2
import psycopg2.extras
import pyarrow
import pyarrow.parquet

PACKAGES = ["psycopg2-binary", "pyarrow"]
ROWS_OF_A_FILE = 100_000
SECONDS_OF_A_FILE = 1.0

TYPES = {
    "int2": pyarrow.int16(),
    "int4": pyarrow.int32(),
    "int8": pyarrow.int64(),
    "bool": pyarrow.bool_(),
    "float8": pyarrow.float64(),
    "date": pyarrow.date32(),
    "timestamptz": pyarrow.timestamp("us", tz="UTC"),
}


def columns_of(dsn, table):
    """Names and Arrow types of a table's columns."""
    query = """
        select attname, typname, atttypmod from pg_attribute join pg_type on pg_type.oid = atttypid
        where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum"""
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(query, (table,))
        return [(name, arrow_type(kind, modifier)) for name, kind, modifier in cursor.fetchall()]


def arrow_type(kind, modifier):
    if kind == "numeric" and modifier >= 4:
        return pyarrow.decimal128((modifier - 4) >> 16, (modifier - 4) & 0xFFFF)
    return TYPES.get(kind, pyarrow.string())


def column(values, kind):
    """An array of values as JSON has them: numbers with a point came as text, so that nothing is rounded."""
    if any(isinstance(value, str) for value in values) and kind != pyarrow.string():
        texts = [value if value is None else str(value) for value in values]
        return pyarrow.array(texts, pyarrow.string()).cast(kind)
    return pyarrow.array(values).cast(kind)


class Files:
    """Rows that gather, and the files that they become."""

    def __init__(self, folder, columns):
        self.folder = folder
        self.columns = columns
        self.rows = []
        self.began = time.monotonic()
        self.written = 0

    def full(self):
        return len(self.rows) >= ROWS_OF_A_FILE or time.monotonic() - self.began >= SECONDS_OF_A_FILE

    def write(self):
        if self.rows:
            values = zip(*self.rows)
            arrays = [column(list(own), kind) for own, (_, kind) in zip(values, self.columns)]
            table = pyarrow.table(arrays, names=[name for name, _ in self.columns])
            path = os.path.join(self.folder, f"{self.written:012}.parquet")
            pyarrow.parquet.write_table(table, path + ".draft", compression="zstd", compression_level=1)
            peer.sync(path + ".draft")
            os.rename(path + ".draft", path)
            peer.sync(self.folder)
            self.written += len(self.rows)
            self.rows = []
        self.began = time.monotonic()


def number(lsn):
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


def drain(dsn, slot, _publication, table, end, folder):
    end = number(end)
    os.makedirs(folder, exist_ok=True)
    files = Files(folder, columns_of(dsn, table))
    connection = psycopg2.connect(dsn, connection_factory=psycopg2.extras.LogicalReplicationConnection)
    cursor = connection.cursor()
    options = {"format-version": "2", "include-types": "false", "include-transaction": "true"}
    cursor.start_replication(slot_name=slot, decode=False, options=options)
    decode = json.JSONDecoder(parse_float=str).decode
    name = table.split(".")[-1]
    while True:
        message = cursor.read_message()
        if message is None:
            time.sleep(0.001)
            continue
        change = decode(message.payload.decode())
        if change["action"] == "I" and change["table"] == name:
            files.rows.append(tuple(own["value"] for own in change["columns"]))
        elif change["action"] == "C":
            over = message.data_start >= end
            if over or files.full():
                files.write()
                cursor.send_feedback(flush_lsn=message.data_start, force=True)
            if over:
                break
    return files.written


# It takes no publication: the plugin sends every table.
peer.run(PACKAGES, ["URL", "SLOT", "PUBLICATION", "TABLE", "END-LSN", "FOLDER"], drain)
