// What node_clients.sh runs: a topic is made, written with gzip and without, described.
const assert = require('assert');
const { Kafka, CompressionTypes, logLevel } = require('kafkajs');

async function main() {
    const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.ERROR, retry: { retries: 3 } });
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({
        waitForLeaders: true,
        topics: [{ topic: 'node', numPartitions: 2, configEntries: [{ name: 'retention.ms', value: '-1' }] }],
    });
    const producer = kafka.producer();
    await producer.connect();
    for (let n = 0; n < 1000; n += 100) {
        const messages = [...Array(100).keys()].map((i) => ({ key: `${n + i}`, value: `value ${n + i}`, partition: i % 2 }));
        const compression = n % 200 ? CompressionTypes.GZIP : CompressionTypes.None;
        await producer.send({ topic: 'node', acks: -1, compression, messages });
    }
    await producer.disconnect();
    const offsets = (await admin.fetchTopicOffsets('node')).sort((a, b) => a.partition - b.partition);
    assert.deepStrictEqual(offsets.map((o) => [o.low, o.high]), [['0', '500'], ['0', '500']]);
    const { topics } = await admin.fetchTopicMetadata({ topics: ['node'] });
    assert.strictEqual(topics[0].partitions.length, 2);
    const { resources } = await admin.describeConfigs({ resources: [{ type: 2, name: 'node', configNames: ['retention.ms'] }] });
    assert.strictEqual(resources[0].configEntries[0].configValue, '-1');
    await admin.disconnect();
}
main().catch((e) => { console.error(e); process.exit(1); });
