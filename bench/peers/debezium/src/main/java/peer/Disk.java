package peer;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** What makes files last. */
final class Disk {
    private Disk() {}

    /** Returns when the file, or the folder's entries, are on disk. */
    static void sync(Path path) {
        try (var channel = FileChannel.open(path, StandardOpenOption.READ)) {
            channel.force(true);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
