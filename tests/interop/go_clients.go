// What go_clients.sh runs: franz-go writes, in each compression, and reads what it wrote; no group.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const count = 1000

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func value(n int) string { return fmt.Sprintf("value %d of some length", n) }

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.SnappyCompression(), kgo.ZstdCompression()} {
		writer, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]), kgo.DefaultProduceTopic("go"),
			kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		must(err)
		for n := 0; n < count; n++ {
			record := kgo.StringRecord(value(n))
			record.Partition = int32(n % 2)
			writer.Produce(ctx, record, func(_ *kgo.Record, err error) { must(err) })
		}
		must(writer.Flush(ctx))
		writer.Close()
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		"go": {0: kgo.NewOffset().AtStart(), 1: kgo.NewOffset().AtStart()}}))
	must(err)
	defer reader.Close()
	for got := 0; got < 3*count; {
		fetches := reader.PollFetches(ctx)
		must(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			n := int(r.Offset)*2%count + int(r.Partition)
			if string(r.Value) != value(n) {
				must(fmt.Errorf("partition %d offset %d: %q, not %q", r.Partition, r.Offset, r.Value, value(n)))
			}
			got++
		})
	}
	fmt.Println("franz-go read what it wrote")
}
