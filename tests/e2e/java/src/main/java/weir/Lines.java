/**
 * Records as lines that every client of the end-to-end runs writes and reads:
 * {@code partition TAB offset TAB timestamp TAB key TAB value TAB headers}. Bytes are hex,
 * {@code -} is null, headers are {@code name:value} separated by commas. It must keep what is
 * null apart from what is empty.
 */
package weir;

import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;

final class Lines {
    private static final HexFormat HEX = HexFormat.of();

    private Lines() {}

    /** The record that a line describes; a partition of {@code -} leaves it to the partitioner. */
    static ProducerRecord<byte[], byte[]> parse(String topic, String line) {
        String[] cells = line.split("\t", -1);
        Integer partition = cells[0].equals("-") ? null : Integer.valueOf(cells[0]);
        Long timestamp = cells[2].equals("-") ? null : Long.valueOf(cells[2]);
        var record =
                new ProducerRecord<>(topic, partition, timestamp, bytes(cells[3]), bytes(cells[4]));
        if (!cells[5].isEmpty()) {
            for (String header : cells[5].split(",")) {
                String[] sides = header.split(":", -1);
                String name = new String(HEX.parseHex(sides[0]), StandardCharsets.UTF_8);
                record.headers().add(name, bytes(sides[1]));
            }
        }
        return record;
    }

    /** The line that describes a record that was read. */
    static String print(ConsumerRecord<byte[], byte[]> record) {
        StringBuilder headers = new StringBuilder();
        for (Header header : record.headers()) {
            headers.append(headers.isEmpty() ? "" : ",");
            headers.append(HEX.formatHex(header.key().getBytes(StandardCharsets.UTF_8)));
            headers.append(':').append(hex(header.value()));
        }
        return record.partition() + "\t" + record.offset() + "\t" + record.timestamp() + "\t"
                + hex(record.key()) + "\t" + hex(record.value()) + "\t" + headers;
    }

    private static byte[] bytes(String cell) {
        return cell.equals("-") ? null : HEX.parseHex(cell);
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "-" : HEX.formatHex(bytes);
    }
}
