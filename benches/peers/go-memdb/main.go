// The go-memdb side of the benches: the work that `side_by_side` and `scaling` do, in the same
// rows, under the same names, on the same records.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"strings"
	"time"
)

const usage = `The go-memdb side of the benches.

  run table   [OPTIONS]  a table with six index entries a record
  run tree    [OPTIONS]  go-immutable-radix alone
  run watches [OPTIONS]  its watch sets: bytes, and how fast they wake

`

// options is what the command line asks for.
type options struct {
	what    string
	records int
	keys    string
	rows    map[string]bool
	slice   time.Duration
	rounds  int
	run     string
	json    bool
}

func main() {
	set := flag.NewFlagSet("run", flag.ExitOnError)
	set.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		set.PrintDefaults()
	}
	var o options
	set.IntVar(&o.records, "records", 100_000, "records, 100 or more")
	set.StringVar(&o.keys, "keys", "text", "kind of primary key: text, uuid or u64")
	rows := set.String("rows", "", "these rows alone, separated by commas (all of side_by_side without; also sizes: commits of many sizes; resident: memory of the process)")
	slice := set.Int("slice-ms", 50, "milliseconds of one kind of work in one round")
	set.IntVar(&o.rounds, "rounds", 15, "rounds")
	set.StringVar(&o.run, "run", "", "the name of the run, put into each line of data")
	set.BoolVar(&o.json, "json", false, "print data, one line a row")
	if len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-") {
		set.Usage()
		os.Exit(2)
	}
	o.what = os.Args[1]
	must(set.Parse(os.Args[2:]))
	if set.NArg() > 0 {
		fail("there is no option %s", set.Arg(0))
	}
	if o.records < 100 || o.rounds < 1 || *slice < 1 {
		fail("--records from 100, --rounds from 1 and --slice-ms from 1 are wanted")
	}
	o.slice = time.Duration(*slice) * time.Millisecond
	o.rows = map[string]bool{}
	for _, row := range strings.FieldsFunc(*rows, func(c rune) bool { return c == ',' }) {
		o.rows[row] = true
	}

	switch o.what {
	case "table":
		switch o.keys {
		case texts.name:
			measureTable(&o, &texts)
		case uuids.name:
			measureTable(&o, &uuids)
		case numbers.name:
			measureTable(&o, &numbers)
		default:
			fail("--keys %s: text, uuid or u64 is wanted", o.keys)
		}
	case "tree":
		measureTree(&o)
	case "watches":
		measureWatches(&o)
	default:
		fail("%s: table, tree or watches is wanted", o.what)
	}
}

// wants is whether a row is asked for: without a choice, those of side_by_side.
func (o *options) wants(row string) bool {
	return o.rows[row] || len(o.rows) == 0 && row != "sizes" && row != "resident"
}

// line is a row of data, in the form that the benches read.
type line struct {
	Run     string    `json:"run,omitempty"`
	Level   string    `json:"level"`
	System  string    `json:"system"`
	Keys    string    `json:"keys"`
	Records int       `json:"records"`
	Row     string    `json:"row"`
	Unit    string    `json:"unit"`
	Value   float64   `json:"value"`
	Samples []float64 `json:"samples,omitempty"`
	// Of a system's answers, in the row `sum`.
	Sum string `json:"sum,omitempty"`
	// Versions, in the row `sum`.
	Versions string `json:"versions,omitempty"`
}

func (o *options) system() string {
	if o.what == "tree" {
		return "iradix"
	}
	return "go-memdb"
}

func (o *options) emit(row, unit string, samples ...float64) {
	for i, sample := range samples {
		// No figure is exact to a tenth.
		samples[i] = math.Round(sample*10) / 10
	}
	sorted := append([]float64(nil), samples...)
	sort.Float64s(sorted)
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	o.print(line{Row: row, Unit: unit, Value: median, Samples: samples})
}

func (o *options) emitSum(sum uint64) {
	o.print(line{Row: "sum", Sum: fmt.Sprintf("%016x", sum), Versions: os.Getenv("PEER_VERSIONS")})
}

func (o *options) print(l line) {
	l.Run, l.Level, l.System, l.Keys, l.Records = o.run, o.what, o.system(), o.keys, o.records
	switch {
	case o.json:
		text, err := json.Marshal(l)
		must(err)
		fmt.Println(string(text))
	case l.Row == "sum":
		fmt.Printf("%s, %d records, keys %s, answers %s\n", l.Versions, l.Records, l.Keys, l.Sum)
	default:
		fmt.Printf("%-24s %14.1f %s\n", l.Row, l.Value, l.Unit)
	}
}

// live is how many bytes are allocated and reachable.
func live() float64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// resident is how many bytes of memory the process occupies.
func resident() float64 {
	status, err := os.ReadFile("/proc/self/status")
	must(err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kibibytes float64
	if _, err := fmt.Sscan(rest, &kibibytes); err != nil {
		fail("/proc/self/status has no VmRSS: %v", err)
	}
	return kibibytes * 1024
}

func fail(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, "go-memdb peer: "+format+"\n", args...)
	os.Exit(1)
}
