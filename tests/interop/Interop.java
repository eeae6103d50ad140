/* tests/interop/Interop.java - Apache Kafka's own Java clients, asked to do what Ottla offers.
 *
 *   Interop admin BOOTSTRAP                       every call of Admin that Ottla serves, checked
 *   Interop data BOOTSTRAP                        each compression out and in; offsets by name and by time
 *   Interop defaults BOOTSTRAP TOPIC              a producer as it is by default: prints how that ends
 *   Interop write BOOTSTRAP TOPIC,… FROM COUNT COMPRESSION [key=value…]
 *                                                 COMPRESSION by-name: what follows the topic's last hyphen
 *   Interop storm BOOTSTRAP TOPIC FILE            an idempotent producer, five requests in flight, until FILE is there:
 *                                                 prints how many records were acknowledged, which is all that it sent
 *   Interop read BOOTSTRAP TOPIC,…                a line a partition: topic, partition, count and digest of the
 *                                                 records; order is not asked of a topic called compact…
 *   Interop groups BOOTSTRAP                      consumers that share a topic in groups of each kind; what Admin says of them
 *   Interop groups-tool ARGUMENT…                 kafka-consumer-groups, in this process
 *   Interop offsets BOOTSTRAP TOPIC               earliest, latest and by time, a line a partition
 *   Interop tool CLASS ARGUMENT…                  one of Kafka's tools, in this process: starting Java is most of
 *                                                 what they cost
 *   Interop serve                                 commands from standard input; "== CODE" ends each one's output
 *
 * Record n says by its key what its value, headers and timestamp must be (no headers in topics called format…, no
 * timestamps below 1000 in those called format0…); `read` checks that each is as it
 * was written, in order and once. Exit code 1 with the reason.
 */
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.*;
import org.apache.kafka.common.serialization.*;

public class Interop {
    static final long EPOCH = 2_000_000_000_000L; // of record 0, a second more for each: retention keeps it
    static final long OF_OLD_FORMAT = 1000; // in topics called format0… the records below are of that format
    static final Duration LIMIT = Duration.ofSeconds(60);

    static void require(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    static void requireEqual(Object wanted, Object seen, String what) {
        require(Objects.equals(wanted, seen), what + ": wanted " + wanted + ", seen " + seen);
    }

    // ---- records

    static byte[] value(long n) {
        Random random = new Random(n * 31 + 7);
        byte[] bytes = new byte[random.nextInt(900)];
        for (int i = 0; i < bytes.length; i++) // compressible, and not all the same
            bytes[i] = (byte) ("abcdefgh".charAt(random.nextInt(8)) + (i % 64 == 0 ? random.nextInt(20) : 0));
        return bytes;
    }

    static ProducerRecord<byte[], byte[]> record(String topic, int partitions, long n) {
        var record = new ProducerRecord<byte[], byte[]>(topic, (int) (n % partitions), EPOCH + n * 1000,
                ("key-" + n).getBytes(), n % 50 == 49 ? null : value(n));
        if (n % 3 == 0 && !topic.startsWith("format")) record.headers().add("n", Long.toString(n).getBytes()).add("none", null);
        return record;
    }

    static long check(ConsumerRecord<byte[], byte[]> got, int partitions) {
        long n = Long.parseLong(new String(got.key()).substring(4));
        var wanted = record(got.topic(), partitions, n);
        requireEqual(wanted.partition(), got.partition(), "partition of record " + n);
        // Message format 0 has no times, 0 and 1 have no headers.
        requireEqual(got.topic().startsWith("format0") && n < OF_OLD_FORMAT ? -1L : wanted.timestamp(), got.timestamp(), "timestamp of record " + n);
        require(Arrays.equals(wanted.value(), got.value()), "value of record " + n + " differs");
        requireEqual(new ArrayList<>(List.of(wanted.headers().toArray())).toString(),
                new ArrayList<>(List.of(got.headers().toArray())).toString(), "headers of record " + n);
        return n;
    }

    static Map<String, Object> clientConfig(String bootstrap) {
        var config = new HashMap<String, Object>();
        config.put("bootstrap.servers", bootstrap);
        config.put("request.timeout.ms", 20000);
        config.put("default.api.timeout.ms", 60000);
        return config;
    }

    static Producer<byte[], byte[]> producer(String bootstrap, String compression, String... more) {
        var config = clientConfig(bootstrap);
        config.put("acks", "all");
        config.put("compression.type", compression);
        config.put("linger.ms", 20);
        config.put("delivery.timeout.ms", 60000);
        for (String pair : more) if (!pair.equals("aborts=true")) config.put(pair.split("=", 2)[0], pair.split("=", 2)[1]);
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static Consumer<byte[], byte[]> consumer(String bootstrap, String... more) {
        var config = clientConfig(bootstrap);
        config.put("fetch.max.wait.ms", 50); // the next topic is asked for when the last fetch of this one is answered
        for (String pair : more) config.put(pair.split("=", 2)[0], pair.split("=", 2)[1]);
        config.put("enable.auto.commit", false);
        config.put("auto.offset.reset", "none");
        config.put("allow.auto.create.topics", false);
        config.put("check.crcs", true);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static List<TopicPartition> partitionsOf(Consumer<?, ?> consumer, String topic) throws Exception {
        var found = new ArrayList<PartitionInfo>();
        eventually(topic + " is known", () -> { // a broker that has just started may not know it yet
            try {
                found.clear();
                found.addAll(consumer.partitionsFor(topic));
            } catch (RetriableException e) {
                return false;
            }
            return !found.isEmpty();
        });
        return found.stream().map(p -> new TopicPartition(topic, p.partition()))
                .sorted(Comparator.comparing(TopicPartition::partition)).collect(Collectors.toList());
    }

    static void write(String bootstrap, String topic, long from, long count, String compression, String... more)
            throws Exception {
        try (var producer = producer(bootstrap, compression, more)) {
            boolean aborts = List.of(more).contains("aborts=true"); // before each transaction one that fails
            boolean isTransaction = Stream.of(more).anyMatch(pair -> pair.startsWith("transactional.id="));
            if (isTransaction) producer.initTransactions();
            int partitions = producer.partitionsFor(topic).size();
            var sent = new ArrayList<Future<RecordMetadata>>();
            for (long n = from; n < from + count; n++) {
                if (isTransaction && (n - from) % 100 == 0) {
                    if (n > from) producer.commitTransaction();
                    if (aborts) {
                        producer.beginTransaction();
                        for (long again = n; again < n + 30; again++) producer.send(record(topic, partitions, again));
                        producer.flush();
                        producer.abortTransaction();
                    }
                    producer.beginTransaction();
                }
                sent.add(producer.send(record(topic, partitions, n)));
            }
            if (isTransaction) producer.commitTransaction();
            producer.flush();
            for (var each : sent) each.get(1, TimeUnit.SECONDS);
            if (isTransaction) awaitMarkers(bootstrap);
        }
    }

    /* A commit is answered before its markers are in the partitions. */
    static void awaitMarkers(String bootstrap) throws Exception {
        var done = EnumSet.of(TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT, TransactionState.EMPTY);
        try (var admin = Admin.create(clientConfig(bootstrap))) {
            eventually("transactions are complete", () -> admin.listTransactions().all().get().stream()
                    .allMatch(transaction -> done.contains(transaction.state())));
        }
    }

    static void storm(String bootstrap, String topic, String file) throws Exception {
        long n = 0;
        try (var producer = producer(bootstrap, "lz4", "enable.idempotence=true", "max.in.flight.requests.per.connection=5",
                "linger.ms=2", "batch.size=4000", "request.timeout.ms=3000", "delivery.timeout.ms=120000")) {
            int partitions = producer.partitionsFor(topic).size();
            var sent = new ArrayDeque<Future<RecordMetadata>>();
            while (!java.nio.file.Files.exists(java.nio.file.Path.of(file))) {
                sent.add(producer.send(record(topic, partitions, n++)));
                if (n % 10 == 0) Thread.sleep(1);
                while (!sent.isEmpty() && sent.peek().isDone()) sent.remove().get(); // fails if one is lost
            }
            producer.flush();
            for (var each : sent) each.get(1, TimeUnit.SECONDS);
        }
        System.out.println(n);
    }

    /* All records from the beginning to the end; per partition a line of count, first, last and digest. */
    static List<String> read(Consumer<byte[], byte[]> consumer, String topic) throws Exception {
        var partitions = partitionsOf(consumer, topic);
        var ends = consumer.endOffsets(partitions);
        var digests = new TreeMap<Integer, MessageDigest>();
        var counts = new TreeMap<Integer, Long>();
        var latest = new HashMap<Integer, Long>();
        for (var p : partitions) {
            digests.put(p.partition(), MessageDigest.getInstance("SHA-256"));
            counts.put(p.partition(), 0L);
        }
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        long until = System.nanoTime() + LIMIT.toNanos();
        while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
            require(System.nanoTime() < until, "not all read in " + LIMIT + ": " + partitions.stream()
                    .map(p -> p + " at " + consumer.position(p) + " of " + ends.get(p)).collect(Collectors.toList()));
            for (var got : consumer.poll(Duration.ofMillis(100))) {
                long n = check(got, partitions.size());
                require(topic.startsWith("compact") || n > latest.getOrDefault(got.partition(), -1L), "record " + n + " twice or out of order");
                latest.put(got.partition(), n);
                var digest = digests.get(got.partition());
                digest.update(ByteBuffer.allocate(16).putLong(got.offset()).putLong(got.timestamp()).array());
                digest.update(got.key());
                if (got.value() != null) digest.update(got.value());
                counts.merge(got.partition(), 1L, Long::sum);
            }
        }
        return counts.keySet().stream().map(p -> p + " " + counts.get(p) + " "
                + HexFormat.of().formatHex(digests.get(p).digest(), 0, 8)).collect(Collectors.toList());
    }

    static void readAll(String bootstrap, String topics, String... more) throws Exception {
        try (var consumer = consumer(bootstrap, more)) {
            for (String topic : topics.split(","))
                read(consumer, topic).forEach(line -> System.out.println(topic + " " + line));
        }
    }

    static List<String> offsets(String bootstrap, String topic) throws Exception {
        try (var consumer = consumer(bootstrap)) {
            var partitions = partitionsOf(consumer, topic);
            var earliest = consumer.beginningOffsets(partitions);
            var latest = consumer.endOffsets(partitions);
            var wanted = new HashMap<TopicPartition, Long>();
            for (var p : partitions) wanted.put(p, EPOCH + 500_500);
            var byTime = consumer.offsetsForTimes(wanted);
            return partitions.stream().map(p -> p.partition() + " " + earliest.get(p) + " " + latest.get(p) + " "
                    + byTime.get(p)).collect(Collectors.toList());
        }
    }

    // ---- admin

    static <T extends Throwable> T failure(Class<T> type, KafkaFuture<?> future) throws Exception {
        try {
            future.get(60, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            require(type.isInstance(e.getCause()), "wanted " + type.getSimpleName() + ", got " + e.getCause());
            return type.cast(e.getCause());
        }
        throw new AssertionError("wanted " + type.getSimpleName() + ", got success");
    }

    static void eventually(String what, Callable<Boolean> holds) throws Exception {
        long until = System.nanoTime() + LIMIT.toNanos();
        while (!holds.call()) {
            require(System.nanoTime() < until, "not within " + LIMIT + ": " + what);
            Thread.sleep(20);
        }
    }

    /* Each call goes to some broker, and each broker hears of a change in its own time. */
    static void everywhere(String what, Callable<Boolean> holds) throws Exception {
        int[] times = {0};
        eventually(what, () -> {
            times[0] = holds.call() ? times[0] + 1 : 0;
            return times[0] == 12;
        });
    }

    /** What Admin.alterReplicaLogDirs says of partition 0. */
    static void moveDir(String bootstrap, String topic, int broker, String path) throws Exception {
        try (var admin = Admin.create(clientConfig(bootstrap))) {
            var replica = new TopicPartitionReplica(topic, 0, broker);
            try {
                admin.alterReplicaLogDirs(Map.of(replica, path)).values().get(replica).get();
                System.out.println("begun");
            } catch (ExecutionException e) {
                System.out.println(e.getCause().getClass().getSimpleName());
            }
        }
    }

    static void admin(String bootstrap) throws Exception {
        try (var admin = Admin.create(clientConfig(bootstrap))) {
            var cluster = admin.describeCluster();
            int brokers = cluster.nodes().get().size();
            require(brokers >= 1 && cluster.controller().get() != null, "brokers and a controller are known");
            require(cluster.clusterId().get().length() == 22, "cluster id " + cluster.clusterId().get());
            int first = cluster.nodes().get().iterator().next().id();

            var dry = admin.createTopics(List.of(new NewTopic("dry", 1, (short) 1)), new CreateTopicsOptions().validateOnly(true));
            dry.all().get();
            require(!admin.listTopics().names().get().contains("dry"), "validateOnly makes nothing");

            var made = admin.createTopics(List.of(
                    new NewTopic("made", 3, (short) 1).configs(Map.of("retention.ms", "3600000", "segment.bytes", "1048576")),
                    new NewTopic("placed", Map.of(0, List.of(first), 1, List.of(first))),
                    new NewTopic("defaults", Optional.empty(), Optional.empty())));
            made.all().get();
            requireEqual(3, made.numPartitions("made").get(), "partitions in the answer");
            requireEqual(1, made.replicationFactor("made").get(), "factor in the answer");
            requireEqual("3600000", made.config("made").get().get("retention.ms").value(), "config in the answer");
            Uuid id = made.topicId("made").get();
            requireEqual(1, made.numPartitions("defaults").get(), "num.partitions");

            failure(TopicExistsException.class, admin.createTopics(List.of(new NewTopic("made", 1, (short) 1))).all());
            failure(InvalidTopicException.class, admin.createTopics(List.of(new NewTopic("no/name", 1, (short) 1))).all());
            failure(InvalidReplicationFactorException.class,
                    admin.createTopics(List.of(new NewTopic("wide", 1, (short) 99))).all());
            failure(InvalidPartitionsException.class, admin.createTopics(List.of(new NewTopic("none", 0, (short) 1))).all());
            failure(InvalidConfigurationException.class, admin.createTopics(
                    List.of(new NewTopic("odd", 1, (short) 1).configs(Map.of("retention.ms", "soon")))).all());
            failure(InvalidConfigurationException.class, admin.createTopics(
                    List.of(new NewTopic("odd", 1, (short) 1).configs(Map.of("no.such.key", "1")))).all());

            everywhere("new topics are listed", () -> admin.listTopics().names().get()
                    .containsAll(List.of("made", "placed", "defaults")));
            requireEqual(id, admin.listTopics().namesToListings().get().get("made").topicId(), "id in the list");
            var byName = admin.describeTopics(List.of("made")).allTopicNames().get().get("made");
            requireEqual(3, byName.partitions().size(), "partitions by name");
            requireEqual(id, byName.topicId(), "id by name");
            requireEqual("made", admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get().get(id).name(), "name by id");
            failure(UnknownTopicOrPartitionException.class, admin.describeTopics(List.of("absent")).allTopicNames());
            failure(UnknownTopicIdException.class,
                    admin.describeTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).allTopicIds());

            var topic = new ConfigResource(ConfigResource.Type.TOPIC, "made");
            var broker = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(first));
            everywhere("the topic's configuration is known", () -> "3600000".equals(
                    admin.describeConfigs(List.of(topic)).all().get().get(topic).get("retention.ms").value()));
            var configs = admin.describeConfigs(List.of(topic, broker),
                    new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true)).all().get();
            var retention = configs.get(topic).get("retention.ms");
            requireEqual("3600000", retention.value(), "retention.ms");
            requireEqual(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, retention.source(), "source of retention.ms");
            requireEqual(ConfigEntry.ConfigType.LONG, retention.type(), "type of retention.ms");
            requireEqual(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, retention.synonyms().get(0).source(), "first synonym");
            requireEqual("delete", configs.get(topic).get("cleanup.policy").value(), "cleanup.policy");
            requireEqual(Integer.toString(first), configs.get(broker).get("broker.id").value(), "broker.id");
            requireEqual(ConfigEntry.ConfigSource.STATIC_BROKER_CONFIG, configs.get(broker).get("log.dirs").source(), "source of log.dirs");
            failure(UnknownTopicOrPartitionException.class,
                    admin.describeConfigs(List.of(new ConfigResource(ConfigResource.Type.TOPIC, "absent"))).all());

            admin.createPartitions(Map.of("made", NewPartitions.increaseTo(5))).all().get();
            failure(InvalidPartitionsException.class, admin.createPartitions(Map.of("made", NewPartitions.increaseTo(2))).all());
            failure(UnknownTopicOrPartitionException.class, admin.createPartitions(Map.of("absent", NewPartitions.increaseTo(2))).all());
            everywhere("five partitions with leaders", () -> {
                var now = admin.describeTopics(List.of("made")).allTopicNames().get().get("made").partitions();
                return now.size() == 5 && now.stream().allMatch(p -> p.leader() != null);
            });

            write(bootstrap, "made", 0, 50, "none");
            var wanted = new HashMap<TopicPartition, OffsetSpec>();
            wanted.put(new TopicPartition("made", 0), OffsetSpec.latest());
            wanted.put(new TopicPartition("made", 1), OffsetSpec.earliest());
            wanted.put(new TopicPartition("made", 2), OffsetSpec.maxTimestamp());
            wanted.put(new TopicPartition("made", 3), OffsetSpec.forTimestamp(EPOCH + 20_000));
            wanted.put(new TopicPartition("made", 4), OffsetSpec.forTimestamp(EPOCH + 20_000_000));
            var offsets = admin.listOffsets(wanted).all().get();
            requireEqual(10L, offsets.get(new TopicPartition("made", 0)).offset(), "latest");
            requireEqual(0L, offsets.get(new TopicPartition("made", 1)).offset(), "earliest");
            requireEqual(9L, offsets.get(new TopicPartition("made", 2)).offset(), "of the greatest timestamp");
            requireEqual(EPOCH + 47_000, offsets.get(new TopicPartition("made", 2)).timestamp(), "the greatest timestamp");
            requireEqual(4L, offsets.get(new TopicPartition("made", 3)).offset(), "by time: record 23");
            requireEqual(-1L, offsets.get(new TopicPartition("made", 4)).offset(), "after the last");

            admin.deleteTopics(List.of("placed")).all().get();
            admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get();
            failure(UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of("absent")).all());
            failure(UnknownTopicIdException.class, admin.deleteTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).all());
            everywhere("deleted topics go", () -> {
                var names = admin.listTopics().names().get();
                return !names.contains("placed") && !names.contains("made") && names.contains("defaults");
            });
            eventually("a deleted topic is made again", () -> { // brokers forget it before the controller has done with it
                try {
                    admin.createTopics(List.of(new NewTopic("placed", 1, (short) 1))).all().get();
                    return true;
                } catch (ExecutionException e) {
                    require(e.getCause() instanceof TopicExistsException, "made again: " + e.getCause());
                    return false;
                }
            });
        }
        System.out.println("admin: all as Kafka answers");
    }

    static void data(String bootstrap) throws Exception {
        try (var admin = Admin.create(clientConfig(bootstrap))) {
            for (String compression : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
                String topic = "data-" + compression;
                admin.createTopics(List.of(new NewTopic(topic, 3, (short) 1))).all().get();
                write(bootstrap, topic, 0, 1000, compression);
                write(bootstrap, topic, 1000, 1000, compression, "acks=1", "batch.size=1000");
                readAll(bootstrap, topic);
                try (var consumer = consumer(bootstrap)) {
                    var p = new TopicPartition(topic, 1);
                    requireEqual(0L, consumer.beginningOffsets(List.of(p)).get(p), "beginning");
                    requireEqual(667L, consumer.endOffsets(List.of(p)).get(p), "end"); // 1, 4, …, 1999
                    var found = consumer.offsetsForTimes(Map.of(p, EPOCH + 500_001)).get(p);
                    requireEqual(167L, found.offset(), "offset by time"); // record 502
                    requireEqual(EPOCH + 502_000, found.timestamp(), "time by time");
                    requireEqual(null, consumer.offsetsForTimes(Map.of(p, EPOCH * 2)).get(p), "offset of the future");
                    consumer.assign(List.of(p));
                    consumer.seek(p, 300);
                    ConsumerRecords<byte[], byte[]> some = ConsumerRecords.empty();
                    while (some.isEmpty()) some = consumer.poll(Duration.ofSeconds(1));
                    requireEqual(300L, some.records(p).get(0).offset(), "first after a seek into a batch");
                    requireEqual(901L, check(some.records(p).get(0), 3), "record at offset 300");
                    consumer.seek(p, 100_000);
                    try {
                        for (long until = System.nanoTime() + LIMIT.toNanos(); System.nanoTime() < until;)
                            consumer.poll(Duration.ofMillis(100));
                        throw new AssertionError("an offset beyond the end is not refused");
                    } catch (org.apache.kafka.clients.consumer.OffsetOutOfRangeException e) {
                        requireEqual(Set.of(p), e.partitions(), "partition out of range");
                    }
                }
            }
            admin.createTopics(List.of(new NewTopic("small", 1, (short) 1).configs(Map.of("max.message.bytes", "2000")))).all().get();
            try (var producer = producer(bootstrap, "none")) {
                try {
                    producer.send(new ProducerRecord<>("small", new byte[5000])).get();
                    throw new AssertionError("a record over max.message.bytes is not refused");
                } catch (ExecutionException e) {
                    require(e.getCause() instanceof RecordTooLargeException, "too large: " + e.getCause());
                }
                producer.send(new ProducerRecord<>("small", new byte[500])).get();
            }
        }
        System.out.println("data: all as written");
    }

    /* A producer as everyone starts it. */
    static void defaults(String bootstrap, String topic) throws Exception {
        var config = clientConfig(bootstrap);
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.send(new ProducerRecord<>(topic, new byte[1])).get(60, TimeUnit.SECONDS);
            System.out.println("default producer: sent");
        }
    }

    // ---- groups

    /* A member of a group, in a thread of its own: what it reads is put into `seen`. */
    static class Member extends Thread {
        final KafkaConsumer<byte[], byte[]> consumer;
        final Set<Long> seen;
        volatile boolean ends;
        volatile Throwable failure;

        Member(String bootstrap, String group, String assignor, String instance, Set<Long> seen) {
            var config = clientConfig(bootstrap);
            config.put("group.id", group);
            config.put("auto.offset.reset", "earliest");
            config.put("heartbeat.interval.ms", 300);
            config.put("session.timeout.ms", 20000);
            config.put("metadata.max.age.ms", 2000);
            if (assignor != null) config.put("partition.assignment.strategy", assignor);
            if (instance != null) config.put("group.instance.id", instance);
            consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            this.seen = seen;
            start();
        }

        public void run() {
            try (consumer) {
                consumer.subscribe(List.of("groups"));
                while (!ends)
                    for (var got : consumer.poll(Duration.ofMillis(100))) seen.add(check(got, 6));
            } catch (Throwable e) {
                failure = e;
            }
        }

        void end() throws Exception {
            ends = true;
            join(60000);
            require(!isAlive(), "a member does not end");
            if (failure != null) throw new AssertionError(failure);
        }
    }

    interface Check { boolean holds() throws Exception; }

    static void until(String what, Check check) throws Exception {
        for (long end = System.nanoTime() + 120_000_000_000L; !check.holds(); Thread.sleep(100))
            require(System.nanoTime() < end, what);
    }

    /* Stable, with so many members that share all partitions. */
    static boolean isStable(Admin admin, String group, int members) throws Exception {
        var about = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        return about.state() == ConsumerGroupState.STABLE && about.members().size() == members
                && about.members().stream().mapToInt(m -> m.assignment().topicPartitions().size()).sum() == 6;
    }

    static long committed(Admin admin, String group) throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().values().stream()
                .mapToLong(OffsetAndMetadata::offset).sum();
    }

    static void share(Admin admin, String bootstrap, String kind, String assignor, boolean isStatic) throws Exception {
        String group = "java-" + kind;
        Set<Long> seen = ConcurrentHashMap.newKeySet();
        long sent = committed(admin, "java-written"); // how many records the topic has
        var a = new Member(bootstrap, group, assignor, isStatic ? "a" : null, seen);
        var b = new Member(bootstrap, group, assignor, isStatic ? "b" : null, seen);
        until(kind + ": two members", () -> isStable(admin, group, 2));
        until(kind + ": two read all", () -> seen.size() == sent);
        a.end();
        if (isStatic) {
            var before = admin.describeConsumerGroups(List.of(group)).all().get().get(group).members().size();
            requireEqual(2, before, "static members after one has gone");
            a = new Member(bootstrap, group, assignor, "a", seen);
            until(kind + ": the member is back", () -> isStable(admin, group, 2));
        } else {
            until(kind + ": one is left", () -> isStable(admin, group, 1));
            a = new Member(bootstrap, group, assignor, null, seen);
        }
        var c = new Member(bootstrap, group, assignor, isStatic ? "c" : null, seen);
        until(kind + ": three members", () -> isStable(admin, group, 3));
        write(bootstrap, "groups", sent, 300, "none");
        admin.alterConsumerGroupOffsets("java-written", Map.of(new TopicPartition("groups", 0), new OffsetAndMetadata(sent + 300))).all().get();
        until(kind + ": three read all", () -> seen.size() == sent + 300);
        a.end();
        b.end();
        c.end();
        requireEqual(sent + 300, committed(admin, group), kind + ": committed");
        if (isStatic) { // they stay until their sessions end, or they are removed
            requireEqual(3, admin.describeConsumerGroups(List.of(group)).all().get().get(group).members().size(), "static members");
            admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions(
                    List.of(new MemberToRemove("a"), new MemberToRemove("b"), new MemberToRemove("c")))).all().get();
        }
        requireEqual(ConsumerGroupState.EMPTY, admin.describeConsumerGroups(List.of(group)).all().get().get(group).state(), kind + ": state");
        System.out.println("groups: " + kind);
    }

    static void groups(String bootstrap) throws Exception {
        var p0 = new TopicPartition("groups", 0);
        try (var admin = Admin.create(clientConfig(bootstrap))) {
            admin.createTopics(List.of(new NewTopic("groups", 6, (short) 1))).all().get();
            write(bootstrap, "groups", 0, 600, "none");
            admin.alterConsumerGroupOffsets("java-written", Map.of(p0, new OffsetAndMetadata(600))).all().get();
            share(admin, bootstrap, "eager", RangeAssignor.class.getName(), false);
            share(admin, bootstrap, "cooperative", CooperativeStickyAssignor.class.getName(), false);
            share(admin, bootstrap, "default", null, false);
            share(admin, bootstrap, "eager-static", RoundRobinAssignor.class.getName(), true);
            share(admin, bootstrap, "cooperative-static", CooperativeStickyAssignor.class.getName(), true);

            var names = admin.listConsumerGroups(new ListConsumerGroupsOptions().inStates(Set.of(ConsumerGroupState.EMPTY))).all().get();
            requireEqual(6, names.size(), "empty groups");
            admin.alterConsumerGroupOffsets("java-eager", Map.of(p0, new OffsetAndMetadata(7, "by hand"))).all().get();
            var offset = admin.listConsumerGroupOffsets("java-eager").partitionsToOffsetAndMetadata().get().get(p0);
            requireEqual("7 by hand", offset.offset() + " " + offset.metadata(), "an offset by hand");
            admin.deleteConsumerGroupOffsets("java-eager", Set.of(p0)).all().get();
            require(!admin.listConsumerGroupOffsets("java-eager").partitionsToOffsetAndMetadata().get().containsKey(p0), "the offset is still there");
            admin.deleteConsumerGroups(List.of("java-eager", "java-default")).all().get();
            requireEqual(4, admin.listConsumerGroups().all().get().size(), "groups that are left");
            requireEqual(ConsumerGroupState.DEAD, admin.describeConsumerGroups(List.of("java-eager")).all().get().get("java-eager").state(), "a deleted group");
        }
        System.out.println("groups: administration");
    }

    static class ToolEnd extends Error {
        final int status;
        ToolEnd(int status) {
            super("exit code " + status, null, false, false);
            this.status = status;
        }
    }

    static boolean tool(String name, String[] args) throws Throwable {
        // Some tools catch even this, and end once more: the first time counts.
        int[] first = {-1};
        org.apache.kafka.common.utils.Exit.setExitProcedure((status, message) -> {
            if (first[0] < 0) first[0] = status;
            throw new ToolEnd(first[0]);
        });
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) args);
            return true;
        } catch (java.lang.reflect.InvocationTargetException e) {
            if (e.getCause() instanceof ToolEnd) return ((ToolEnd) e.getCause()).status == 0;
            throw e.getCause();
        } finally {
            System.out.println(); // not every tool ends its last line
        }
    }

    /* One command; false, and why on standard error, when something is not as it must be. */
    static boolean run(String[] args) {
        try {
            switch (args[0]) {
            case "admin": admin(args[1]); break;
            case "data": data(args[1]); break;
            case "defaults": defaults(args[1], args[2]); break;
            case "groups": groups(args[1]); break;
            case "groups-tool":
                org.apache.kafka.common.utils.Exit.setExitProcedure((code, what) -> { throw new RuntimeException("exit code " + code); });
                org.apache.kafka.tools.consumer.group.ConsumerGroupCommand.main(Arrays.copyOfRange(args, 1, args.length));
                System.out.println(); // its last line may have no end
                break;
            case "write":
                for (String topic : args[2].split(","))
                    write(args[1], topic, Long.parseLong(args[3]), Long.parseLong(args[4]),
                            args[5].equals("by-name") ? topic.substring(topic.lastIndexOf('-') + 1) : args[5],
                            Arrays.copyOfRange(args, 6, args.length));
                break;
            case "storm": storm(args[1], args[2], args[3]); break;
            case "read": readAll(args[1], args[2], Arrays.copyOfRange(args, 3, args.length)); break;
            case "tool": return tool(args[1], Arrays.copyOfRange(args, 2, args.length));
            case "tool-all": // what it says on standard error too
                var err = System.err;
                System.setErr(System.out);
                try {
                    return tool(args[1], Arrays.copyOfRange(args, 2, args.length));
                } catch (Throwable e) {
                    System.out.println(e);
                    return false;
                } finally {
                    System.setErr(err);
                }
            case "move-dir": moveDir(args[1], args[2], Integer.parseInt(args[3]), args[4]); break;
            case "offsets": offsets(args[1], args[2]).forEach(System.out::println); break;
            default: throw new IllegalArgumentException(args[0]);
            }
            return true;
        } catch (Throwable e) {
            e.printStackTrace();
            return false;
        }
    }

    public static void main(String[] args) throws Exception {
        if (!args[0].equals("serve")) System.exit(run(args) ? 0 : 1);
        var in = new java.io.BufferedReader(new java.io.InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;)
            System.out.println(run(line.split(" ")) ? "== 0" : "== 1");
    }
}
