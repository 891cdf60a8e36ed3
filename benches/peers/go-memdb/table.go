package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	memdb "github.com/hashicorp/go-memdb"
)

const (
	// Most operations in one slice, and most records written in one: bound what is prepared.
	most       = 1_000_000
	mostWrites = 50_000
)

// contender is a store, and where in the random order it goes on.
type contender[K any] struct {
	o        *options
	store    *store[K]
	data     *data[K]
	order    []int
	ids      []K
	nodes    []string
	prefixes []string
	at       int
	revision uint64
	// What was read, so that nothing is read in vain.
	seen  int
	ports uint64
}

// done is what was done in a slice: operations, or records where the row counts records.
type done struct {
	units   int
	elapsed time.Duration
	commits int64
}

func (d done) per() float64 { return float64(d.elapsed.Nanoseconds()) / float64(d.units) }

func measureTable[K any](o *options, k *kind[K]) {
	d := newData(k, o.records)
	r := random(2)
	c := &contender[K]{o: o, data: d, order: r.permutation(o.records), revision: 1}
	c.ids = each(c.order, k.id)
	c.nodes = each(r.permutation(d.nodes()), nodeName)
	c.prefixes = each(r.permutation(d.prefixes()), prefix)

	alone := 0.0
	if o.wants("bytes") {
		alone = c.recordBytes()
	}
	before := live()
	debug.FreeOSMemory()
	occupied := resident()
	loaded := c.load()
	if o.wants("load") {
		o.emit("load", "ns", loaded.per())
	}
	if o.wants("resident") {
		o.emit("resident_per_record", "bytes", (resident()-occupied)/float64(o.records))
	}
	if o.wants("bytes") {
		kept := live() - before
		o.emit("bytes_per_record", "bytes", kept/float64(o.records))
		o.emit("bytes_per_entry", "bytes", (kept-alone)/float64(o.records*entries))
	}
	o.emitSum(sum(c.store, d))

	c.rounds("get", most, c.get)
	c.rounds("snapshot", most, c.view)
	c.rounds("snapshot_get", most, c.viewAndGet)
	c.rounds("list_by_node", most, func(at, times int) done {
		return c.lists(c.nodes, "node", at, times)
	})
	c.rounds("scan", most, c.scan)
	if k.name == texts.name {
		c.rounds("scan_prefix", most, func(at, times int) done {
			return c.lists(c.prefixes, "id_prefix", at, times)
		})
	}
	c.rounds("upsert_1", mostWrites, func(at, times int) done { return c.upsert(at, times, 1) })
	c.rounds("upsert_100", mostWrites, func(at, times int) done { return c.upsert(at, times, 100) })
	c.rounds("delete_1", min(mostWrites, o.records/2), c.deletes)
	c.rounds("get_beside_writer", most, c.getBesideWriter)
	if o.wants("sizes") {
		c.sizes()
	}
}

func each[T any](order []int, of func(int) T) []T {
	all := make([]T, len(order))
	for at, i := range order {
		all[at] = of(i)
	}
	return all
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

// recordBytes is what the records take as values, without any index.
func (c *contender[K]) recordBytes() float64 {
	records := make([]*Service[K], c.data.len())
	before := live()
	for i := range records {
		records[i] = c.data.record(i, 0)
	}
	alone := live() - before
	runtime.KeepAlive(records)
	return alone
}

// load loads all records in random order.
func (c *contender[K]) load() done {
	c.store = newStore(c.data.kind)
	var total time.Duration
	for from := 0; from < len(c.order); from += loadSize {
		part := each(c.order[from:min(from+loadSize, len(c.order))], func(i int) *Service[K] {
			return c.data.record(i, 0)
		})
		start := time.Now()
		c.store.upsert(part)
		total += time.Since(start)
	}
	return done{units: len(c.order), elapsed: total}
}

// rounds times one kind of work, after finding out how often it fits in a slice, which warms it up.
func (c *contender[K]) rounds(row string, most int, work func(at, times int) done) {
	if !c.o.wants(row) {
		return
	}
	fmt.Fprintln(os.Stderr, row)
	do := func(times int) done {
		at := c.at
		c.at = (at + times) % len(c.order)
		return work(at, times)
	}
	times := 1
	for {
		took := do(times).elapsed
		if took >= c.o.slice/8 || times >= most {
			fit := float64(c.o.slice) / float64(took+1) * float64(times)
			times = int(fit)
			if fit < 1 {
				times = 1
			} else if fit > float64(most) {
				times = most
			}
			break
		}
		times = min(times*4, most)
	}
	var samples, beside []float64
	for round := 0; round < c.o.rounds; round++ {
		d := do(times)
		samples = append(samples, d.per())
		if d.commits > 0 {
			beside = append(beside, float64(d.elapsed.Nanoseconds())/float64(d.commits))
		}
	}
	c.o.emit(row, "ns", samples...)
	if len(beside) > 0 {
		c.o.emit("commit_beside_reader", "ns", beside...)
	}
}

func (c *contender[K]) see(service *Service[K]) {
	c.seen++
	c.ports += uint64(service.Port)
}

func (c *contender[K]) saw(least int, what string) int {
	seen := c.seen
	c.seen = 0
	if seen < least {
		fail("%s: %d were found, not %d", what, seen, least)
	}
	return seen
}

func (c *contender[K]) get(at, times int) done {
	txn := c.store.view()
	see := c.see
	start := time.Now()
	for i := 0; i < times; i++ {
		get(txn, c.ids[(at+i)%len(c.ids)], see)
	}
	elapsed := time.Since(start)
	return done{units: c.saw(times, "get"), elapsed: elapsed}
}

// kept keeps the compiler from leaving out what makes it.
var kept *memdb.Txn

func (c *contender[K]) view(_, times int) done {
	start := time.Now()
	for i := 0; i < times; i++ {
		kept = c.store.view()
	}
	return done{units: times, elapsed: time.Since(start)}
}

func (c *contender[K]) viewAndGet(at, times int) done {
	see := c.see
	start := time.Now()
	for i := 0; i < times; i++ {
		get(c.store.view(), c.ids[(at+i)%len(c.ids)], see)
	}
	elapsed := time.Since(start)
	return done{units: c.saw(times, "get"), elapsed: elapsed}
}

func (c *contender[K]) lists(keys []string, index string, at, times int) done {
	txn := c.store.view()
	see := c.see
	start := time.Now()
	for i := 0; i < times; i++ {
		list(txn, see, index, keys[(at+i)%len(keys)])
	}
	elapsed := time.Since(start)
	c.saw(times, index)
	return done{units: times, elapsed: elapsed}
}

func (c *contender[K]) scan(_, times int) done {
	txn := c.store.view()
	see := c.see
	start := time.Now()
	for i := 0; i < times; i++ {
		list(txn, see, "id")
	}
	elapsed := time.Since(start)
	return done{units: c.saw(times*len(c.order), "scan"), elapsed: elapsed}
}

// next is records of a new revision, from number `at` of the random order on.
func (c *contender[K]) next(at, times int) []*Service[K] {
	c.revision++
	records := make([]*Service[K], times)
	for i := range records {
		records[i] = c.data.record(c.order[(at+i)%len(c.order)], c.revision)
	}
	return records
}

func (c *contender[K]) upsert(at, times, perCommit int) done {
	times = (times + perCommit - 1) / perCommit * perCommit
	records := c.next(at, times)
	start := time.Now()
	for from := 0; from < times; from += perCommit {
		c.store.upsert(records[from : from+perCommit])
	}
	return done{units: times, elapsed: time.Since(start)}
}

func (c *contender[K]) deletes(at, times int) done {
	deleted := 0
	start := time.Now()
	for i := 0; i < times; i++ {
		if c.store.delete(c.ids[(at+i)%len(c.ids)]) {
			deleted++
		}
	}
	elapsed := time.Since(start)
	if deleted != times {
		fail("delete: %d were found, not %d", deleted, times)
	}
	for from := 0; from < times; from += loadSize {
		c.store.upsert(c.next(at+from, min(loadSize, times-from)))
	}
	return done{units: times, elapsed: elapsed}
}

func (c *contender[K]) getBesideWriter(at, _ int) done {
	// Reads between looks at the clock.
	const stride = 16
	c.revision++
	revision := c.revision
	var stop, commits int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// The writer is half way round from the reader.
		for i := at + len(c.order)/2; atomic.LoadInt64(&stop) == 0; i++ {
			record := c.data.record(c.order[i%len(c.order)], revision)
			c.store.upsert([]*Service[K]{record})
			atomic.AddInt64(&commits, 1)
		}
	}()
	for atomic.LoadInt64(&commits) == 0 {
		runtime.Gosched()
	}
	see := c.see
	before, start := atomic.LoadInt64(&commits), time.Now()
	var elapsed time.Duration
	for i := at; elapsed < c.o.slice; {
		for n := 0; n < stride; n++ {
			get(c.store.view(), c.ids[i%len(c.ids)], see)
			i++
		}
		elapsed = time.Since(start)
	}
	written := atomic.LoadInt64(&commits) - before
	atomic.StoreInt64(&stop, 1)
	<-ended
	return done{units: c.saw(1, "get"), elapsed: elapsed, commits: written}
}

// sizes times single commits of many sizes, per record.
func (c *contender[K]) sizes() {
	last := 0.0
	for _, size := range []int{1, 10, 100, 1_000, 2_000, 3_000, 10_000, 100_000, 1_000_000} {
		if size > len(c.order) {
			continue
		}
		commits, samples := commitsOf(size)
		if last*float64(size) > longest {
			fmt.Fprintf(os.Stderr, "left out: commits of %d records take too long\n", size)
			break
		}
		var per []float64
		var spent time.Duration
		for len(per) < samples && spent < enough {
			at := c.at
			c.at = (at + size*commits) % len(c.order)
			d := c.upsert(at, size*commits, size)
			spent += d.elapsed
			last = d.per()
			per = append(per, last)
		}
		c.o.emit(fmt.Sprintf("commit_%d", size), "ns", per...)
	}
}

// Commits of one size that took so long are enough, however few.
const enough = 2 * time.Second

// A commit that is expected to take longer, in nanoseconds, is not made, nor are larger ones.
const longest = 120e9

// commitsOf is how many commits of a size make a sample, and how many samples are taken at most.
func commitsOf(size int) (commits, samples int) {
	switch {
	case size <= 3_000:
		return (2_000 + size - 1) / size, 9
	case size <= 10_000:
		return 1, 3
	default:
		return 1, 1
	}
}
