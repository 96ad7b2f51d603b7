package peer;

import io.debezium.connector.postgresql.PostgresConnector;
import java.net.URI;
import java.nio.file.Path;
import java.util.Properties;

/** How the engine is set: for throughput where Debezium's documentation says how, and nothing is filtered or renamed. */
final class EngineSettings {
    private EngineSettings() {}

    static Properties of(String url, String slot, String publication, Path offsets) {
        var server = URI.create(url);
        String[] user = server.getUserInfo().split(":", 2);
        var settings = new Properties();
        settings.setProperty("name", "peer");
        settings.setProperty("topic.prefix", "peer");
        settings.setProperty("connector.class", PostgresConnector.class.getName());
        settings.setProperty("database.hostname", server.getHost());
        settings.setProperty("database.port", Integer.toString(server.getPort()));
        settings.setProperty("database.user", user[0]);
        settings.setProperty("database.password", user.length > 1 ? user[1] : "");
        settings.setProperty("database.dbname", server.getPath().substring(1));

        // The slot is there, with its backlog; so is the publication, and nothing is copied first.
        settings.setProperty("plugin.name", "pgoutput");
        settings.setProperty("slot.name", slot);
        settings.setProperty("publication.name", publication);
        settings.setProperty("publication.autocreate.mode", "disabled");
        settings.setProperty("snapshot.mode", "no_data");

        // Ten times the defaults; half a second between polls would be idle time.
        settings.setProperty("max.batch.size", "20480");
        settings.setProperty("max.queue.size", "81920");
        settings.setProperty("poll.interval.ms", "10");
        settings.setProperty("tombstones.on.delete", "false");
        // Percentiles of latency are work for every record, and nobody asks for them here.
        settings.setProperty("statistics.metrics.enabled", "false");

        // What is marked as processed is on disk at once, and then told to the server.
        settings.setProperty("offset.storage", SyncedOffsets.class.getName());
        settings.setProperty("offset.storage.file.filename", offsets.toString());
        settings.setProperty("offset.flush.interval.ms", "0");
        return settings;
    }
}
