package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	memdb "github.com/hashicorp/go-memdb"
)

// measureWatches measures watch sets: their bytes, and how fast they wake.
func measureWatches(o *options) {
	d := newData(&texts, o.records)
	r := random(2)
	c := &contender[string]{o: o, data: d, order: r.permutation(o.records), revision: 1}
	c.load()
	o.emitSum(sum(c.store, d))

	if o.wants("watch_bytes") {
		c.watchBytes()
	}
	if o.wants("wake") {
		for _, watchers := range []int{1, 1_000, 100_000} {
			c.wake(watchers)
		}
	}
}

// watch is a watch set of one key.
func (c *contender[K]) watch(id K) memdb.WatchSet {
	changed, found, err := c.store.view().FirstWatch(table, "id", id)
	must(err)
	if found == nil {
		fail("watch: a record is not there")
	}
	set := memdb.NewWatchSet()
	set.Add(changed)
	return set
}

// occupied is the bytes of the heap and of the stacks of goroutines.
func occupied() float64 {
	heap := live()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return heap + float64(stats.StackInuse)
}

// watchBytes is a watch set for each key: alone, then with a goroutine that waits on each; and what
// commits cost beside them.
func (c *contender[K]) watchBytes() {
	n := min(100_000, len(c.order)-1000)
	sets := make([]memdb.WatchSet, n)
	before := occupied()
	for i := range sets {
		sets[i] = c.watch(c.data.kind.id(c.order[i]))
	}
	c.o.emit("watch_bytes", "bytes", (occupied()-before)/float64(n))

	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Add(n)
	for _, set := range sets {
		go func(set memdb.WatchSet) {
			defer ended.Done()
			_ = set.WatchCtx(ctx)
		}(set)
	}
	// All wait once nothing else is left to do.
	time.Sleep(2 * time.Second)
	c.o.emit("watch_waiting_bytes", "bytes", (occupied()-before)/float64(n))

	// Records that nobody watches.
	var samples []float64
	for round := 0; round < c.o.rounds; round++ {
		samples = append(samples, c.upsert(n, 1000, 1).per())
	}
	c.o.emit("commit_beside_watches", "ns", samples...)
	cancel()
	ended.Wait()
	runtime.KeepAlive(sets)
}

// wake is a commit that wakes many watchers of one key: until it returns, and until all have woken.
func (c *contender[K]) wake(watchers int) {
	id := c.data.kind.id(c.order[0])
	var commit, all []float64
	for round := 0; round < 5; round++ {
		var waiting, woken sync.WaitGroup
		waiting.Add(watchers)
		woken.Add(watchers)
		for i := 0; i < watchers; i++ {
			go func() {
				set := c.watch(id)
				waiting.Done()
				must(set.WatchCtx(context.Background()))
				woken.Done()
			}()
		}
		waiting.Wait()
		time.Sleep(200 * time.Millisecond)
		records := c.next(0, 1)
		start := time.Now()
		c.store.upsert(records)
		commit = append(commit, float64(time.Since(start).Nanoseconds()))
		woken.Wait()
		all = append(all, float64(time.Since(start).Nanoseconds()))
	}
	c.o.emit(fmt.Sprintf("wake_%d_commit", watchers), "ns", commit...)
	c.o.emit(fmt.Sprintf("wake_%d_all", watchers), "ns", all...)
}
