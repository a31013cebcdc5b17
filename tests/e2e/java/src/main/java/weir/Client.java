/**
 * The official Java clients behind a small command line: produce, consume, load, admin, member. The
 * first argument after the command is a file of client properties (bootstrap servers, security).
 * It must never retry or repair anything by itself: what the client library does is what is tested.
 */
package weir;

import java.io.BufferedWriter;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Client {
    private static final Duration POLL = Duration.ofMillis(200);
    private static final long READ_LIMIT_MS = 60_000;

    private Client() {}

    public static void main(String[] args) throws Exception {
        if (args.length < 2) {
            throw new IllegalArgumentException(
                    "usage: produce CONFIG FILE TOPIC:CODEC... | consume CONFIG OUT TOPIC..."
                            + " | load CONFIG TOPIC PARTITIONS LOG NAME | admin CONFIG TOPIC"
                            + " | member CONFIG TOPIC LOG NAME");
        }
        Properties config = new Properties();
        try (FileInputStream in = new FileInputStream(args[1])) {
            config.load(in);
        }
        List<String> rest = Arrays.asList(args).subList(2, args.length);
        switch (args[0]) {
            case "produce" -> produce(config, Path.of(rest.get(0)), rest.subList(1, rest.size()));
            case "consume" -> consume(config, Path.of(rest.get(0)), rest.subList(1, rest.size()));
            case "load" -> load(config, rest.get(0), Integer.parseInt(rest.get(1)),
                    Path.of(rest.get(2)), rest.get(3));
            case "admin" -> admin(config, rest.get(0));
            case "member" ->
                    Member.read(config, rest.get(0), Path.of(rest.get(1)), rest.get(2));
            default -> throw new IllegalArgumentException("no command " + args[0]);
        }
    }

    /** Writes every line of a file to each topic with its codec and prints where each went. */
    private static void produce(Properties config, Path file, List<String> topics)
            throws Exception {
        List<String> lines = Files.readAllLines(file);
        for (String topicAndCodec : topics) {
            String[] sides = topicAndCodec.split(":");
            Properties own = new Properties();
            own.putAll(config);
            own.put("compression.type", sides[1]);
            own.put("enable.idempotence", "true");
            own.put("acks", "all");
            own.put("linger.ms", "20");
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            try (var producer = new KafkaProducer<>(
                    own, new ByteArraySerializer(), new ByteArraySerializer())) {
                for (String line : lines) {
                    sent.add(producer.send(Lines.parse(sides[0], line)));
                }
                producer.flush();
            }
            for (Future<RecordMetadata> future : sent) {
                RecordMetadata where = future.get();
                System.out.println(
                        sides[0] + "\t" + where.partition() + "\t" + where.offset());
            }
        }
    }

    /** Reads topics from the earliest record to the end they had at the start. */
    private static void consume(Properties config, Path out, List<String> topics)
            throws IOException {
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        try (var consumer = new KafkaConsumer<>(
                        config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
                BufferedWriter writer = Files.newBufferedWriter(out)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (String topic : topics) {
                consumer.partitionsFor(topic).forEach(
                        info -> partitions.add(new TopicPartition(topic, info.partition())));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            long deadline = System.currentTimeMillis() + READ_LIMIT_MS;
            while (ends.entrySet().stream()
                    .anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                if (System.currentTimeMillis() > deadline) {
                    throw new IOException("the ends " + ends + " were not reached");
                }
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                    writer.write(record.topic() + "\t" + Lines.print(record) + "\n");
                }
            }
        }
    }

    /**
     * Produces numbered records until standard input closes. Each record's value is
     * {@code NAME-NUMBER} and some filling; each ack becomes a line
     * {@code partition TAB offset TAB NAME-NUMBER} of the log, in the order of the acks.
     */
    private static void load(
            Properties config, String topic, int partitions, Path log, String name)
            throws Exception {
        config.put("enable.idempotence", "true");
        config.put("acks", "all");
        config.put("linger.ms", "2");
        config.put("delivery.timeout.ms", "120000");
        config.put("request.timeout.ms", "5000");
        config.put("reconnect.backoff.max.ms", "200");
        config.put("retry.backoff.max.ms", "200");
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
        String filling = "x".repeat(200);
        try (var producer = new KafkaProducer<>(
                        config, new ByteArraySerializer(), new ByteArraySerializer());
                BufferedWriter writer = Files.newBufferedWriter(
                        log, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
            for (long number = 0; !stop.get(); number++) {
                String id = name + "-" + number;
                byte[] value = (id + " " + filling).getBytes(StandardCharsets.UTF_8);
                int partition = (int) (number % partitions);
                var record = new ProducerRecord<byte[], byte[]>(topic, partition, null, value);
                producer.send(record, (where, error) -> acked(writer, id, where, error));
                if (number % 50 == 49) {
                    // A steady load that leaves the machine room for the others.
                    Thread.sleep(10);
                }
            }
            producer.flush();
        }
        System.out.println("stopped");
    }

    private static void acked(
            BufferedWriter writer, String id, RecordMetadata where, Exception error) {
        try {
            synchronized (writer) {
                if (error == null) {
                    writer.write(where.partition() + "\t" + where.offset() + "\t" + id + "\n");
                } else {
                    writer.write("error\t" + error + "\t" + id + "\n");
                }
                writer.flush();
            }
        } catch (IOException cause) {
            throw new IllegalStateException("cannot write the log of acks", cause);
        }
    }

    /** Walks the admin calls over a topic that it makes, and prints what the broker answers. */
    private static void admin(Properties config, String topic) throws Exception {
        try (Admin admin = Admin.create(config)) {
            var nodes = admin.describeCluster().nodes().get();
            System.out.println("nodes\t" + nodes.size());
            var wanted = new NewTopic(topic, 3, (short) 1).configs(Map.of("retention.ms", "60000"));
            admin.createTopics(List.of(wanted)).all().get();
            System.out.println("listed\t" + admin.listTopics().names().get().contains(topic));
            var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            System.out.println("partitions\t" + described.partitions().size());
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            var configs = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            System.out.println("retention.ms\t" + configs.get("retention.ms").value());
            var first = new TopicPartition(topic, 0);
            try (var producer = new KafkaProducer<>(
                    config, new ByteArraySerializer(), new ByteArraySerializer())) {
                for (int n = 0; n < 10; n++) {
                    byte[] value = {(byte) n};
                    producer.send(new ProducerRecord<>(topic, 0, null, value)).get();
                }
            }
            admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(4))).all().get();
            Map<String, Long> offsets = new TreeMap<>();
            offsets.put("earliest", offset(admin, first, OffsetSpec.earliest()));
            offsets.put("latest", offset(admin, first, OffsetSpec.latest()));
            System.out.println("offsets\t" + offsets);
            admin.deleteTopics(List.of(topic)).all().get();
            System.out.println("listed\t" + admin.listTopics().names().get().contains(topic));
        }
    }

    private static long offset(Admin admin, TopicPartition partition, OffsetSpec spec)
            throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }
}
