package peer;

import io.debezium.connector.postgresql.Module;
import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.DebeziumEngine.ChangeConsumer;
import io.debezium.engine.DebeziumEngine.RecordCommitter;
import io.debezium.engine.RecordChangeEvent;
import io.debezium.engine.format.ChangeEventFormat;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.FutureTask;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.parquet.Version;

/**
 * A change consumer as one would write it with Debezium's embedded engine: pgoutput, typed columns, Parquet.
 *
 * <p>usage: Drain URL SLOT PUBLICATION TABLE END-LSN FOLDER, or --version
 *
 * <p>Durable before confirmed, as ours is: a file is written, synced and renamed; only then its last record is marked as
 * processed, which syncs the offsets and tells the server. It prints how many rows it wrote.
 */
public final class Drain implements ChangeConsumer<RecordChangeEvent<SourceRecord>> {
    private final ParquetFolder files;
    private final String topicEnd;
    private final long end;
    private final Runnable atEnd;
    private boolean over;

    private Drain(ParquetFolder files, String table, long end, Runnable atEnd) {
        this.files = files;
        this.topicEnd = "." + table;
        this.end = end;
        this.atEnd = atEnd;
    }

    public static void main(String[] words) throws Exception {
        if (words.length == 1 && words[0].equals("--version")) {
            System.out.printf(
                    "Debezium %s, parquet-java %s, Java %s%n",
                    Module.version(), Version.VERSION_NUMBER, Runtime.version());
            return;
        }
        if (words.length != 6) {
            System.err.println("usage: Drain URL SLOT PUBLICATION TABLE END-LSN FOLDER, or --version");
            System.exit(2);
        }
        System.out.println(drain(words));
        // Whatever threads the engine leaves behind have nothing more to do.
        System.exit(0);
    }

    private static long drain(String[] words) throws Exception {
        Path folder = Files.createDirectories(Path.of(words[5]));
        var files = new ParquetFolder(folder);
        var ended = new FutureTask<Void>(() -> null);
        var consumer = new Drain(files, words[3], lsn(words[4]), ended);
        var settings = EngineSettings.of(words[0], words[1], words[2], folder.resolve("offsets"));
        var engine = DebeziumEngine.create(ChangeEventFormat.of(Connect.class))
                .using(settings)
                .using((success, message, error) -> {
                    if (!consumer.over) {
                        System.err.println("the engine ended before the backlog: " + message);
                        Runtime.getRuntime().halt(1);
                    }
                })
                .notifying(consumer)
                .build();
        new Thread(engine, "engine").start();
        ended.get();
        engine.close();
        return files.rowsWritten();
    }

    /** "16/B374D848" as a number. */
    private static long lsn(String text) {
        String[] halves = text.split("/");
        return Long.parseLong(halves[0], 16) << 32 | Long.parseLong(halves[1], 16);
    }

    @Override
    public void handleBatch(
            List<RecordChangeEvent<SourceRecord>> batch,
            RecordCommitter<RecordChangeEvent<SourceRecord>> committer)
            throws InterruptedException {
        if (over) {
            return;
        }
        for (var event : batch) {
            take(event.record());
        }
        if (!over && !files.isFull()) {
            return; // What is not marked comes again after a crash.
        }
        files.publish();
        committer.markProcessed(batch.get(batch.size() - 1));
        committer.markBatchFinished();
        if (over) {
            atEnd.run();
        }
    }

    private void take(SourceRecord record) {
        var change = (Struct) record.value();
        if (record.topic().endsWith(topicEnd) && change.getString("op").equals("c")) {
            files.add(change.getStruct("after"));
        }
        over |= change.getStruct("source").getInt64("lsn") >= end;
    }
}
