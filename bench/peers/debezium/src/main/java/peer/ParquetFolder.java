package peer;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.Struct;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.io.LocalOutputFile;

/** Rows that gather, and the files that they become: zstd 1, synced, and under their name only then. */
final class ParquetFolder {
    private static final int ROWS_OF_A_FILE = 100_000;
    private static final long NANOS_OF_A_FILE = 1_000_000_000L;

    private final Path folder;
    private ParquetWriter<Struct> writer;
    private Path draft;
    private long began = System.nanoTime();
    private long rows;
    private long rowsWritten;

    ParquetFolder(Path folder) {
        this.folder = folder;
    }

    void add(Struct row) {
        try {
            if (writer == null) {
                writer = open(row.schema());
            }
            writer.write(row);
            rows++;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    boolean isFull() {
        return rows >= ROWS_OF_A_FILE || System.nanoTime() - began >= NANOS_OF_A_FILE;
    }

    /** Returns when everything that was added is in a file that lasts. */
    void publish() {
        began = System.nanoTime();
        if (writer == null) {
            return;
        }
        try {
            writer.close();
            Disk.sync(draft);
            Files.move(draft, folder.resolve("%012d.parquet".formatted(rowsWritten)));
            Disk.sync(folder);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        writer = null;
        rowsWritten += rows;
        rows = 0;
    }

    long rowsWritten() {
        return rowsWritten;
    }

    private ParquetWriter<Struct> open(Schema schema) throws IOException {
        draft = folder.resolve("%012d.draft".formatted(rowsWritten));
        var settings = new PlainParquetConfiguration();
        settings.set("parquet.compression.codec.zstd.level", "1");
        return new StructWriter(schema, new LocalOutputFile(draft))
                .withConf(settings)
                .withCompressionCodec(CompressionCodecName.ZSTD)
                .build();
    }
}
