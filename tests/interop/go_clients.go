// What go_clients.sh runs: franz-go writes, in each compression, and reads what it wrote, alone and in groups; so
// does sarama, in groups.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
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
	ctx, cancel := context.WithTimeout(context.Background(), 120*time.Second)
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
	shareWithFranz("cooperative", nil)
	shareWithFranz("range", []kgo.GroupOpt{kgo.Balancers(kgo.RangeBalancer())})
	shareWithFranz("static", []kgo.GroupOpt{kgo.InstanceID("")})
	shareWithSarama("sarama-range", sarama.NewBalanceStrategyRange())
	shareWithSarama("sarama-sticky", sarama.NewBalanceStrategySticky())
}

// What members have read, each record once.
type readers struct {
	sync.Mutex
	seen map[string]bool
	by   [2]int
}

func (r *readers) note(member int, partition int32, offset int64) {
	r.Lock()
	defer r.Unlock()
	r.seen[fmt.Sprint(partition, " ", offset)] = true
	r.by[member]++
}

func (r *readers) isDone() bool {
	r.Lock()
	defer r.Unlock()
	return len(r.seen) == 3*count && r.by[0] > 0 && r.by[1] > 0
}

func until(what string, holds func() bool) {
	for end := time.Now().Add(90 * time.Second); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			must(fmt.Errorf("%s: not in 90 seconds", what))
		}
	}
}

// Two members that both have a partition before the first reads, by way of a pause after the join.
func shareWithFranz(name string, opts []kgo.GroupOpt) {
	read := &readers{seen: map[string]bool{}}
	group := "franz-" + name
	var members []*kgo.Client
	var owned [2]sync.Map
	for i := 0; i < 2; i++ {
		i := i
		options := []kgo.Opt{kgo.SeedBrokers(os.Args[1]), kgo.ConsumerGroup(group), kgo.ConsumeTopics("go"),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(300 * time.Millisecond),
			kgo.SessionTimeout(20 * time.Second), kgo.AutoCommitInterval(100 * time.Millisecond),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
				for _, p := range got["go"] {
					owned[i].Store(p, true)
				}
			}),
			kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
				for _, p := range got["go"] {
					owned[i].Delete(p)
				}
			})}
		for _, opt := range opts {
			if name == "static" {
				opt = kgo.InstanceID(fmt.Sprint("i", i))
			}
			options = append(options, opt)
		}
		member, err := kgo.NewClient(options...)
		must(err)
		members = append(members, member)
	}
	size := func(m *sync.Map) (n int) { m.Range(func(_, _ any) bool { n++; return true }); return }
	until(group+": each has a partition", func() bool { return size(&owned[0]) == 1 && size(&owned[1]) == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	var wait sync.WaitGroup
	for i, member := range members {
		i, member := i, member
		wait.Add(1)
		go func() {
			defer wait.Done()
			for !read.isDone() && ctx.Err() == nil {
				turn, end := context.WithTimeout(ctx, 200*time.Millisecond)
				member.PollFetches(turn).EachRecord(func(r *kgo.Record) { read.note(i, r.Partition, r.Offset) })
				end()
			}
		}()
	}
	wait.Wait()
	if !read.isDone() {
		must(fmt.Errorf("%s: %d records, %v", group, len(read.seen), read.by))
	}
	for _, member := range members {
		must(member.CommitUncommittedOffsets(ctx))
		member.Close()
	}
	fmt.Println(group, "shared", 3*count, "records", read.by)
}

type handler struct {
	read   *readers
	member int
	claims func(map[string][]int32)
}

func (h *handler) Setup(s sarama.ConsumerGroupSession) error   { h.claims(s.Claims()); return nil }
func (h *handler) Cleanup(s sarama.ConsumerGroupSession) error { h.claims(nil); return nil }
func (h *handler) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message := <-claim.Messages():
			if message == nil {
				return nil
			}
			h.read.note(h.member, message.Partition, message.Offset)
			s.MarkMessage(message, "")
		case <-s.Context().Done():
			return nil
		}
	}
}

func shareWithSarama(group string, strategy sarama.BalanceStrategy) {
	read := &readers{seen: map[string]bool{}}
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Interval = 100 * time.Millisecond
	config.Consumer.Group.Session.Timeout = 20 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	config.Consumer.Group.Rebalance.Retry.Max = 50
	config.Metadata.Retry.Max = 50
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	ctx, cancel := context.WithCancel(context.Background())
	var owned [2]sync.Map
	var wait sync.WaitGroup
	for i := 0; i < 2; i++ {
		i := i
		member, err := sarama.NewConsumerGroup(strings.Split(os.Args[1], ","), group, config)
		must(err)
		claims := func(got map[string][]int32) {
			owned[i].Range(func(p, _ any) bool { owned[i].Delete(p); return true })
			for _, p := range got["go"] {
				owned[i].Store(p, true)
			}
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			for ctx.Err() == nil {
				must(member.Consume(ctx, []string{"go"}, &handler{read, i, claims}))
			}
			must(member.Close())
		}()
	}
	size := func(m *sync.Map) (n int) { m.Range(func(_, _ any) bool { n++; return true }); return }
	until(group+": each has a partition", func() bool { return size(&owned[0]) == 1 && size(&owned[1]) == 1 })
	until(group+": all is read", func() bool { read.Lock(); defer read.Unlock(); return len(read.seen) == 3*count })
	time.Sleep(300 * time.Millisecond)
	cancel()
	wait.Wait()
	client, err := sarama.NewClient(strings.Split(os.Args[1], ","), config)
	must(err)
	manager, err := sarama.NewOffsetManagerFromClient(group, client)
	must(err)
	for p := int32(0); p < 2; p++ {
		one, err := manager.ManagePartition("go", p)
		must(err)
		if next, _ := one.NextOffset(); next != 3*count/2 {
			must(fmt.Errorf("%s: partition %d: committed %d", group, p, next))
		}
		must(one.Close())
	}
	must(manager.Close())
	must(client.Close())
	fmt.Println(group, "shared", 3*count, "records", read.by)
}
