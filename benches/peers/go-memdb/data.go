package main

import (
	"encoding/binary"
	"fmt"
)

// The records are those of the benches' src/data.rs, byte for byte: the check sums say so.
const (
	perNode   = 20
	perPrefix = 100
	names     = 1000
	tags      = 64
	payload   = 64
	entries   = 6
	loadSize  = 1000
)

// random is SplitMix64.
type random uint64

func (r *random) draw() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

func (r *random) below(n uint64) uint64 { return r.draw() % n }

func (r *random) permutation(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := r.below(uint64(i + 1))
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// Service is the one record type; K is what its primary key is made of.
type Service[K any] struct {
	ID      K
	Node    string
	Name    string
	Tags    []string
	Port    uint16
	Payload []byte
}

// data deals records out to nodes.
type data[K any] struct {
	kind  *kind[K]
	place []int
}

func newData[K any](k *kind[K], records int) *data[K] {
	r := random(1)
	return &data[K]{kind: k, place: r.permutation(records)}
}

func (d *data[K]) len() int      { return len(d.place) }
func (d *data[K]) nodes() int    { return (d.len() + perNode - 1) / perNode }
func (d *data[K]) prefixes() int { return (d.len() + perPrefix - 1) / perPrefix }

func nodeName(i int) string { return fmt.Sprintf("node-%06d", i) }
func prefix(i int) string   { return fmt.Sprintf("svc-%06d", i) }

func (d *data[K]) record(i int, revision uint64) *Service[K] {
	fixed := random(i)
	name := fixed.below(names)
	first := fixed.below(tags)
	second := (first + 1 + fixed.below(tags-1)) % tags
	variable := random(fixed.draw() ^ revision*0xa24baed4963ee407)
	port := 1024 + uint16(variable.below(60000))
	bytes := make([]byte, payload)
	for at := 0; at < payload; at += 8 {
		binary.LittleEndian.PutUint64(bytes[at:], variable.draw())
	}
	if second < first {
		first, second = second, first
	}
	return &Service[K]{
		ID:      d.kind.id(i),
		Node:    nodeName(d.place[i] / perNode),
		Name:    fmt.Sprintf("service-%03d", name),
		Tags:    []string{fmt.Sprintf("tag-%02d", first), fmt.Sprintf("tag-%02d", second)},
		Port:    port,
		Payload: bytes,
	}
}
