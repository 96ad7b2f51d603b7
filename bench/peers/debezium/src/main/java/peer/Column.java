package peer;

import io.debezium.time.Date;
import java.math.BigDecimal;
import java.util.function.BiConsumer;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.Struct;
import org.apache.parquet.io.api.Binary;
import org.apache.parquet.io.api.RecordConsumer;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName;
import org.apache.parquet.schema.Type;
import org.apache.parquet.schema.Type.Repetition;
import org.apache.parquet.schema.Types;

/**
 * A column: its type in Parquet, and how a value gets there. What Debezium says in text (uuid, jsonb, timestamptz) stays text,
 * which spares it work that others do.
 */
record Column(Field field, Type type, BiConsumer<RecordConsumer, Object> put) {
    /** The most digits that fit into 64 bits. */
    private static final int DIGITS_OF_INT64 = 18;

    static Column of(Field field) {
        Schema schema = field.schema();
        if (Decimal.LOGICAL_NAME.equals(schema.name())) {
            return decimal(field);
        }
        return switch (schema.type()) {
            case INT16, INT32 -> plain(
                    field,
                    PrimitiveTypeName.INT32,
                    Date.SCHEMA_NAME.equals(schema.name()) ? LogicalTypeAnnotation.dateType() : null,
                    (out, value) -> out.addInteger(((Number) value).intValue()));
            case INT64 -> plain(
                    field, PrimitiveTypeName.INT64, null, (out, value) -> out.addLong((Long) value));
            case BOOLEAN -> plain(
                    field, PrimitiveTypeName.BOOLEAN, null, (out, value) -> out.addBoolean((Boolean) value));
            case FLOAT64 -> plain(
                    field, PrimitiveTypeName.DOUBLE, null, (out, value) -> out.addDouble((Double) value));
            case STRING -> plain(
                    field,
                    PrimitiveTypeName.BINARY,
                    LogicalTypeAnnotation.stringType(),
                    (out, value) -> out.addBinary(Binary.fromString((String) value)));
            default -> throw new IllegalArgumentException(
                    "the column " + field.name() + " has a type that is not measured: " + schema.type());
        };
    }

    private static Column decimal(Field field) {
        var parameters = field.schema().parameters();
        int scale = Integer.parseInt(parameters.get(Decimal.SCALE_FIELD));
        int precision = Integer.parseInt(parameters.get("connect.decimal.precision"));
        if (precision > DIGITS_OF_INT64) {
            throw new IllegalArgumentException("the column " + field.name() + " has more digits than are measured");
        }
        return plain(
                field,
                PrimitiveTypeName.INT64,
                LogicalTypeAnnotation.decimalType(scale, precision),
                (out, value) -> out.addLong(((BigDecimal) value).unscaledValue().longValueExact()));
    }

    private static Column plain(
            Field field,
            PrimitiveTypeName primitive,
            LogicalTypeAnnotation logical,
            BiConsumer<RecordConsumer, Object> put) {
        var repetition = field.schema().isOptional() ? Repetition.OPTIONAL : Repetition.REQUIRED;
        var type = Types.primitive(primitive, repetition).as(logical).named(field.name());
        return new Column(field, type, put);
    }

    void write(Struct row, RecordConsumer out) {
        Object value = row.get(field);
        if (value == null) {
            return;
        }
        out.startField(field.name(), field.index());
        put.accept(out, value);
        out.endField(field.name(), field.index());
    }
}
