// What node_clients.sh runs: a topic is made, written with gzip and without, described, and read by a group of two.
const assert = require('assert');
const { Kafka, CompressionTypes, logLevel } = require('kafkajs');

async function main() {
    const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.ERROR, connectionTimeout: 30000, retry: { retries: 20, maxRetryTime: 2000 } });
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
    await group(kafka, admin);
    await admin.disconnect();
}

async function until(what, holds) {
    for (let tries = 0; !(await holds()); tries++) {
        assert(tries < 900, what);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
}

async function group(kafka, admin) {
    const seen = new Set();
    const members = [];
    const start = async () => {
        const consumer = kafka.consumer({ groupId: 'kafkajs', sessionTimeout: 20000, heartbeatInterval: 300 });
        await consumer.connect();
        await consumer.subscribe({ topic: 'node', fromBeginning: true });
        await consumer.run({ eachMessage: async ({ partition, message }) => { seen.add(`${partition} ${message.offset}`); } });
        members.push(consumer);
    };
    await start();
    await until('one member reads all', () => seen.size === 1000);
    await start();
    await until('two members', async () => {
        const about = (await admin.describeGroups(['kafkajs'])).groups[0];
        return about.state === 'Stable' && about.members.length === 2;
    });
    const producer = kafka.producer();
    await producer.connect();
    await producer.send({ topic: 'node', acks: -1, messages: [0, 1].map((partition) => ({ key: 'last', value: 'last', partition })) });
    await producer.disconnect();
    await until('two members read on', () => seen.size === 1002);
    for (const member of members) await member.disconnect();
    const [{ partitions }] = await admin.fetchOffsets({ groupId: 'kafkajs', topics: ['node'] });
    assert.deepStrictEqual(partitions.map((p) => p.offset), ['501', '501']);
    await admin.deleteGroups(['kafkajs']);
    assert(!(await admin.listGroups()).groups.some((g) => g.groupId === 'kafkajs'));
}
main().catch((e) => { console.error(e); process.exit(1); });
