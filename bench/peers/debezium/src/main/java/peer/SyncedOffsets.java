package peer;

import io.debezium.embedded.KafkaConnectUtil;
import java.nio.file.Path;
import org.apache.kafka.connect.runtime.WorkerConfig;
import org.apache.kafka.connect.storage.FileOffsetBackingStore;

/** The file of offsets that Debezium uses by default, synced, which it does not do by itself. */
public final class SyncedOffsets extends FileOffsetBackingStore {
    private Path file;

    public SyncedOffsets() {
        super(KafkaConnectUtil.converterForOffsetStore());
    }

    @Override
    public void configure(WorkerConfig settings) {
        super.configure(settings);
        file = Path.of(settings.originalsStrings().get("offset.storage.file.filename"));
    }

    @Override
    protected void save() {
        super.save();
        Disk.sync(file);
    }
}
