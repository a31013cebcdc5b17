/**
 * The official Java consumer as a member of a group, until standard input closes. It logs what it
 * is given, loses and reads, in the lines that every member of the end-to-end runs writes:
 * {@code seconds TAB member TAB event TAB epoch TAB details}. It must never repair anything by
 * itself; a record is logged before the poll that counts it as done.
 */
package weir;

import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

final class Member implements ConsumerRebalanceListener {
    private static final Duration POLL = Duration.ofMillis(50);

    private final String name;
    private final BufferedWriter log;
    private KafkaConsumer<byte[], byte[]> consumer;

    private Member(String name, BufferedWriter log) {
        this.name = name;
        this.log = log;
    }

    /** Reads a topic as a member of the group that the properties name. */
    static void read(Properties config, String topic, Path logPath, String name)
            throws IOException {
        config.put("auto.offset.reset", "earliest");
        config.put("auto.commit.interval.ms", "200");
        config.put("fetch.max.wait.ms", "100");
        config.put("client.id", name);
        AtomicBoolean stop = new AtomicBoolean();
        Thread watcher = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {}
            } catch (IOException closed) {
                // The pipe is gone, which says the same as its end.
            }
            stop.set(true);
        });
        watcher.setDaemon(true);
        watcher.start();
        try (BufferedWriter writer = Files.newBufferedWriter(logPath)) {
            Member member = new Member(name, writer);
            member.line("started", "-", "");
            try (var consumer = new KafkaConsumer<>(
                    config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
                member.consumer = consumer;
                consumer.subscribe(List.of(topic), member);
                while (!stop.get()) {
                    member.poll();
                }
            }
            member.line("closed", "-", "");
        }
    }

    private void poll() {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
            String value = new String(record.value(), StandardCharsets.UTF_8);
            String id = value.split(" ", 2)[0];
            String place = record.topic() + "-" + record.partition() + " " + record.offset();
            line("record", epoch(), place + " " + id);
        }
    }

    private String epoch() {
        int generation = consumer.groupMetadata().generationId();
        return generation < 0 ? "-" : String.valueOf(generation);
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        line("assigned", "-", places(partitions));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        line("revoked", "-", places(partitions));
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        line("lost", "-", places(partitions));
    }

    private static String places(Collection<TopicPartition> partitions) {
        return partitions.stream().map(TopicPartition::toString).collect(Collectors.joining(" "));
    }

    private void line(String event, String epoch, String details) {
        Instant now = Instant.now();
        try {
            log.write(String.format(Locale.ROOT, "%d.%06d\t%s\t%s\t%s\t%s\n",
                    now.getEpochSecond(), now.getNano() / 1000, name, event, epoch, details));
            log.flush();
        } catch (IOException cause) {
            throw new UncheckedIOException("cannot write the member's log", cause);
        }
    }
}
