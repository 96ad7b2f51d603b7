package peer;

import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.Struct;
import org.apache.parquet.conf.ParquetConfiguration;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.api.WriteSupport;
import org.apache.parquet.io.OutputFile;
import org.apache.parquet.io.api.RecordConsumer;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.Type;

/** Rows of Kafka Connect into Parquet, column by column, without a form between. */
final class StructWriter extends ParquetWriter.Builder<Struct, StructWriter> {
    private final Schema schema;

    StructWriter(Schema schema, OutputFile file) {
        super(file);
        this.schema = schema;
    }

    @Override
    protected StructWriter self() {
        return this;
    }

    @Override
    protected WriteSupport<Struct> getWriteSupport(Configuration settings) {
        return new Support(schema);
    }

    @Override
    protected WriteSupport<Struct> getWriteSupport(ParquetConfiguration settings) {
        return new Support(schema);
    }

    private static final class Support extends WriteSupport<Struct> {
        private final List<Column> columns;
        private RecordConsumer out;

        Support(Schema schema) {
            columns = schema.fields().stream().map(Column::of).toList();
        }

        private WriteContext context() {
            var types = columns.stream().map(Column::type).toArray(Type[]::new);
            return new WriteContext(new MessageType("row", types), Map.of());
        }

        @Override
        public WriteContext init(Configuration settings) {
            return context();
        }

        @Override
        public WriteContext init(ParquetConfiguration settings) {
            return context();
        }

        @Override
        public void prepareForWrite(RecordConsumer out) {
            this.out = out;
        }

        @Override
        public void write(Struct row) {
            out.startMessage();
            for (var column : columns) {
                column.write(row, out);
            }
            out.endMessage();
        }
    }
}
