package main

import (
	"encoding/binary"
	"errors"

	memdb "github.com/hashicorp/go-memdb"
)

// kind is a kind of primary key.
type kind[K any] struct {
	name    string
	id      func(i int) K
	indexer memdb.Indexer
}

var texts = kind[string]{
	name:    "text",
	id:      textID,
	indexer: &memdb.StringFieldIndex{Field: "ID"},
}

var uuids = kind[[16]byte]{
	name: "uuid",
	id: func(i int) (id [16]byte) {
		r := random(^uint64(i))
		binary.BigEndian.PutUint64(id[:8], r.draw())
		binary.BigEndian.PutUint64(id[8:], r.draw())
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		return id
	},
	indexer: bytesIndex[[16]byte]{func(id [16]byte) []byte { return id[:] }},
}

var numbers = kind[uint64]{
	name: "u64",
	id:   func(i int) uint64 { return uint64(i) },
	// go-memdb's own index of integers does not keep their order.
	indexer: bytesIndex[uint64]{func(id uint64) []byte {
		return binary.BigEndian.AppendUint64(make([]byte, 0, 8), id)
	}},
}

// textID is `svc-%08d`, by hand: it is called millions of times.
func textID(i int) string {
	id := []byte("svc-00000000")
	for at := len(id) - 1; i > 0; at-- {
		id[at] = '0' + byte(i%10)
		i /= 10
	}
	return string(id)
}

// bytesIndex indexes records by the bytes of their id.
type bytesIndex[K any] struct{ bytes func(K) []byte }

func (b bytesIndex[K]) FromArgs(args ...interface{}) ([]byte, error) {
	if len(args) != 1 {
		return nil, errors.New("one argument is wanted")
	}
	id, ok := args[0].(K)
	if !ok {
		return nil, errors.New("an id is wanted")
	}
	return b.bytes(id), nil
}

func (b bytesIndex[K]) FromObject(raw interface{}) (bool, []byte, error) {
	service, ok := raw.(*Service[K])
	if !ok {
		return false, nil, errors.New("a service is wanted")
	}
	return true, b.bytes(service.ID), nil
}

const table = "services"

// store is a go-memdb database with an index on each of: id, node, name, each tag, (name, node).
type store[K any] struct{ db *memdb.MemDB }

func newStore[K any](k *kind[K]) *store[K] {
	index := func(name string, indexer memdb.Indexer) *memdb.IndexSchema {
		return &memdb.IndexSchema{Name: name, Unique: name == "id", Indexer: indexer}
	}
	node := &memdb.StringFieldIndex{Field: "Node"}
	name := &memdb.StringFieldIndex{Field: "Name"}
	schema := &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{
		table: {
			Name: table,
			Indexes: map[string]*memdb.IndexSchema{
				"id":        index("id", k.indexer),
				"node":      index("node", node),
				"name":      index("name", name),
				"tags":      index("tags", &memdb.StringSliceFieldIndex{Field: "Tags"}),
				"name_node": index("name_node", &memdb.CompoundIndex{Indexes: []memdb.Indexer{name, node}}),
			},
		},
	}}
	db, err := memdb.NewMemDB(schema)
	must(err)
	return &store[K]{db}
}

// view is what reads are made on: a read transaction is a snapshot.
func (s *store[K]) view() *memdb.Txn { return s.db.Txn(false) }

func (s *store[K]) upsert(records []*Service[K]) {
	txn := s.db.Txn(true)
	for _, record := range records {
		must(txn.Insert(table, record))
	}
	txn.Commit()
}

func (s *store[K]) delete(id K) bool {
	txn := s.db.Txn(true)
	defer txn.Abort()
	old, err := txn.First(table, "id", id)
	must(err)
	if old == nil {
		return false
	}
	must(txn.Delete(table, old))
	txn.Commit()
	return true
}

func get[K any](txn *memdb.Txn, id K, see func(*Service[K])) {
	raw, err := txn.First(table, "id", id)
	must(err)
	if raw != nil {
		see(raw.(*Service[K]))
	}
}

// list shows what an index has under the arguments, in order.
func list[K any](txn *memdb.Txn, see func(*Service[K]), index string, args ...interface{}) {
	found, err := txn.Get(table, index, args...)
	must(err)
	for raw := found.Next(); raw != nil; raw = found.Next() {
		see(raw.(*Service[K]))
	}
}

// sum is a number that the answers of all systems to the same questions come to.
func sum[K any](s *store[K], d *data[K]) uint64 {
	h := uint64(0xcbf29ce484222325)
	see := func(service *Service[K]) {
		first := binary.LittleEndian.Uint64(service.Payload)
		h = (h ^ first ^ uint64(service.Port)) * 0x100000001b3
	}
	txn := s.view()
	list(txn, see, "id")
	const samples = 8
	for k := 0; k < samples; k++ {
		record := d.record(k*(d.len()-1)/(samples-1), 0)
		get(txn, record.ID, see)
		list(txn, see, "node", record.Node)
		list(txn, see, "name", record.Name)
		for _, tag := range record.Tags {
			list(txn, see, "tags", tag)
		}
		list(txn, see, "name_node", record.Name, record.Node)
	}
	return h
}

func must(err error) {
	if err != nil {
		fail("go-memdb: %v", err)
	}
}
