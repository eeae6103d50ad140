"""What python_clients.sh runs: each client sends numbered records and reads those of both, alone and in groups."""
import sys
import time

import confluent_kafka
import kafka
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

BOOTSTRAP = sys.argv[1]
COUNT = 1000


def value(n):
    return b"value %d " % n * (n % 20)


def send_with_kafka_python(topic):
    producer = kafka.KafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", enable_idempotence=True,
                                   compression_type="gzip")
    sent = [producer.send(topic, value(n), b"%d" % n, [("n", b"%d" % n)], n % 2) for n in range(COUNT)]
    producer.flush(30)
    assert [one.get(10).offset for one in sent] == [n // 2 for n in range(COUNT)], "offsets of the answers"
    producer.close()


def send_with_confluent(topic):
    failed = []
    # gzip: kafka-python reads the other codecs only with packages of their own.
    producer = confluent_kafka.Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "compression.type": "gzip"})
    for n in range(COUNT):
        producer.produce(topic, value(n), b"%d" % n, n % 2, headers=[("n", b"%d" % n)],
                         on_delivery=lambda err, _: failed.append(err) if err else None)
    assert producer.flush(30) == 0 and not failed, failed


def read_with_kafka_python(topic):
    consumer = kafka.KafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=None, enable_auto_commit=False,
                                   consumer_timeout_ms=20000)
    partitions = [kafka.TopicPartition(topic, p) for p in range(2)]
    assert list(consumer.end_offsets(partitions).values()) == [COUNT // 2] * 2, "end offsets"
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    got = []
    while len(got) < COUNT:
        one = next(consumer)
        got.append((one.partition, one.offset, one.key, one.value, [tuple(h) for h in one.headers]))
    consumer.close()
    return got


def read_with_confluent(topic):
    # A group's name is asked for, and not used: partitions are assigned, nothing is committed.
    consumer = confluent_kafka.Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "none",
                                         "enable.auto.commit": False})
    assert consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, 1), 20) == (0, COUNT // 2)
    consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in range(2)])
    got = []
    while len(got) < COUNT:
        one = consumer.poll(20)
        assert one is not None and not one.error(), one and one.error()
        got.append((one.partition(), one.offset(), one.key(), one.value(), one.headers()))
    consumer.close()
    return got


send_with_kafka_python("python")
send_with_confluent("confluent")
WANTED = sorted((n % 2, n // 2, b"%d" % n, value(n), [("n", b"%d" % n)]) for n in range(COUNT))
for name in "python", "confluent":
    assert sorted(read_with_kafka_python(name)) == WANTED, "kafka-python reads " + name
    assert sorted(read_with_confluent(name)) == WANTED, "confluent-kafka reads " + name
print("kafka-python", kafka.__version__, "and confluent-kafka", confluent_kafka.__version__, "read what either wrote")


# ---- groups

def at_the_end(member):
    parts = member.assignment()
    return parts and all(member.position(part) == COUNT // 2 for part in parts)


def share_with_kafka_python(topic, assignors):
    """Two members, one after the other, then the group goes on where it stopped."""
    config = dict(bootstrap_servers=BOOTSTRAP, group_id="kafka-python-" + topic, auto_offset_reset="earliest",
                  partition_assignment_strategy=assignors, heartbeat_interval_ms=300, session_timeout_ms=20000,
                  enable_auto_commit=False)
    seen = set()
    members = [kafka.KafkaConsumer(topic, **config), kafka.KafkaConsumer(topic, **config)]
    until = time.time() + 90
    # Who gets a partition late begins it anew, because nothing is committed before all is read.
    while len(seen) < COUNT or not all(at_the_end(member) for member in members):
        assert time.time() < until, "kafka-python: %d records, assignments %s" % (
            len(seen), [member.assignment() for member in members])
        for member in members:
            for part, got in member.poll(100).items():
                seen.update((part.partition, one.offset) for one in got)
    for member in members:
        member.commit()
    parts = [part for member in members for part in member.assignment()]
    assert sorted(part.partition for part in parts) == [0, 1], "each partition has one owner: %s" % parts
    for member in members:
        member.close()
    again = kafka.KafkaConsumer(topic, **config)
    until = time.time() + 90
    while len(again.assignment()) < 2:
        assert time.time() < until and not again.poll(100), "what was committed is read again"
    assert [again.position(kafka.TopicPartition(topic, p)) for p in range(2)] == [COUNT // 2] * 2
    again.close()


def share_with_confluent(topic, strategy, instances):
    config = {"bootstrap.servers": BOOTSTRAP, "group.id": "confluent-%s-%s" % (strategy, bool(instances)), "auto.offset.reset": "earliest",
              "partition.assignment.strategy": strategy, "heartbeat.interval.ms": 300,
              "session.timeout.ms": 20000, "auto.commit.interval.ms": 100}
    seen = set()
    members = []
    for n in range(2):
        members.append(confluent_kafka.Consumer(dict(config, **({"group.instance.id": "i%d" % n} if instances else {}))))
        members[n].subscribe([topic])
    until = time.time() + 90
    while len(seen) < COUNT or not all(member.assignment() for member in members):
        assert time.time() < until, "confluent-kafka: %d records" % len(seen)
        for member in members:
            one = member.poll(0.05)
            if one is not None and not one.error():
                seen.add((one.partition(), one.offset()))
    parts = sorted(part.partition for member in members for part in member.assignment())
    assert parts == [0, 1], "each partition has one owner: %s" % parts
    for member in members:
        member.close()
    asker = confluent_kafka.Consumer(config)
    committed = asker.committed([confluent_kafka.TopicPartition(topic, p) for p in range(2)], 30)
    assert [one.offset for one in committed] == [COUNT // 2] * 2, committed
    asker.close()


share_with_kafka_python("python", [RangePartitionAssignor])
share_with_kafka_python("confluent", [StickyPartitionAssignor, RoundRobinPartitionAssignor])
share_with_confluent("python", "range", False)
share_with_confluent("confluent", "cooperative-sticky", False)
share_with_confluent("confluent", "cooperative-sticky", True)
print("both share topics in groups: range, sticky, cooperative, static")
