package main

import (
	"fmt"
	"os"
	"time"

	iradix "github.com/hashicorp/go-immutable-radix"
)

// item is what a tree has under a key.
type item struct {
	id    string
	value uint64
}

// measureTree times go-immutable-radix alone: inserts with a commit each, gets, a walk.
func measureTree(o *options) {
	if o.keys != texts.name {
		fail("--keys %s: the tree is measured with text", o.keys)
	}
	r := random(2)
	order := r.permutation(o.records)
	items := each(order, func(i int) *item { return &item{textID(i), uint64(i)} })
	keys := each(order, func(i int) []byte { return []byte(textID(i)) })

	tree := iradix.New()
	before, start := live(), time.Now()
	for at, key := range keys {
		txn := tree.Txn()
		// The tree keeps the key that it is given.
		txn.Insert(append([]byte(nil), key...), items[at])
		tree = txn.Commit()
	}
	elapsed := time.Since(start)
	if o.wants("bytes") {
		// The items are there already.
		o.emit("bytes_per_entry", "bytes", (live()-before)/float64(o.records))
	}
	if o.wants("fill") {
		o.emit("fill", "ns", float64(elapsed.Nanoseconds())/float64(o.records))
	}

	h := uint64(0xcbf29ce484222325)
	see := func(raw interface{}) { h = (h ^ raw.(*item).value) * 0x100000001b3 }
	walk := func() int {
		seen := 0
		all := tree.Root().Iterator()
		for _, raw, ok := all.Next(); ok; _, raw, ok = all.Next() {
			see(raw)
			seen++
		}
		return seen
	}
	walk()
	for _, key := range keys[:100] {
		raw, _ := tree.Get(key)
		see(raw)
	}
	o.emitSum(h)

	slices := func(row string, work func(at, times int) int) {
		if !o.wants(row) {
			return
		}
		fmt.Fprintln(os.Stderr, row)
		var samples []float64
		at, times := 0, 1
		do := func() (int, time.Duration) {
			start := time.Now()
			units := work(at, times)
			elapsed := time.Since(start)
			at = (at + times) % len(keys)
			return units, elapsed
		}
		for {
			_, took := do()
			if took >= o.slice/8 || times >= most {
				times = int(float64(o.slice)/float64(took+1)*float64(times)) + 1
				break
			}
			times *= 4
		}
		for round := 0; round < o.rounds; round++ {
			units, elapsed := do()
			samples = append(samples, float64(elapsed.Nanoseconds())/float64(units))
		}
		o.emit(row, "ns", samples...)
	}
	slices("get", func(at, times int) int {
		for i := 0; i < times; i++ {
			raw, _ := tree.Get(keys[(at+i)%len(keys)])
			see(raw)
		}
		return times
	})
	slices("iterate", func(_, times int) int {
		seen := 0
		for i := 0; i < times; i++ {
			seen += walk()
		}
		return seen
	})
	slices("replace", func(at, times int) int {
		for i := 0; i < times; i++ {
			to := (at + i) % len(keys)
			txn := tree.Txn()
			txn.Insert(append([]byte(nil), keys[to]...), &item{items[to].id, uint64(to)})
			tree = txn.Commit()
		}
		return times
	})
}
