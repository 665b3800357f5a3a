// generate makes series of profiles for the benchmarks: N variants of one service, each drawn anew
// from recorded stacks by their weight. Some draws are spliced, the leaf part of one stack on the
// root part of another at a location that both have, so that new stacks keep coming as they do in
// reality. Deterministic: the same recordings give the same files.
//
//	generate RECORDINGS OUT
//
// RECORDINGS has go/grpc-cpu-with-spans.pb.gz, go/alloc_objects.pb.gz and jfr/kafka-broker-cpu-*.jfr.gz,
// of which the jfr tool of a JDK reads the stacks for jvm and jvm-novel. There is no recorded C++
// pprof among them: cpp is the Go service under C++ names with several addresses a function.
package main

import (
	"fmt"
	"log"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/google/pprof/profile"
)

type valueType struct{ name, unit string }
type function struct{ name, file string }
type line struct {
	function
	line int64
}
type location struct {
	address uint64
	lines   []line
}
type sample struct {
	stack  []*location // leaf first
	values []uint64
	bytes  uint64 // the label of Go's heap profiles
}

// service is what its profiles are drawn from.
type service struct {
	types   []valueType
	samples []sample
	upTo    []int64 // running sum of weights
	where   map[*location][]int
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func load(path string) *service {
	f, err := os.Open(path)
	check(err)
	defer f.Close()
	p, err := profile.Parse(f)
	check(err)
	known := map[*profile.Location]*location{}
	for _, l := range p.Location {
		known[l] = convert(l)
	}
	s := &service{}
	for _, t := range p.SampleType {
		s.types = append(s.types, valueType{t.Type, t.Unit})
	}
	for _, from := range p.Sample {
		to := sample{}
		for _, l := range from.Location {
			to.stack = append(to.stack, known[l])
		}
		for _, v := range from.Value {
			to.values = append(to.values, uint64(v))
		}
		if b := from.NumLabel["bytes"]; len(b) > 0 {
			to.bytes = uint64(b[0])
		}
		s.samples = append(s.samples, to)
	}
	s.index()
	return s
}

func convert(from *profile.Location) *location {
	l := &location{address: from.Address}
	for _, x := range from.Line {
		l.lines = append(l.lines, line{function{x.Function.Name, x.Function.Filename}, x.Line})
	}
	return l
}

func (s *service) index() {
	var sum int64
	s.where = map[*location][]int{}
	s.upTo = nil
	for i, x := range s.samples {
		sum += int64(x.values[0]) + 1
		s.upTo = append(s.upTo, sum)
		for _, l := range x.stack {
			s.where[l] = append(s.where[l], i)
		}
	}
}

// renamed is the service with every location put through f, which gets a stack's number too.
func (s *service) renamed(f func(l location, sample int) location) *service {
	out := &service{types: s.types}
	known := map[string]*location{}
	for i, x := range s.samples {
		stack := make([]*location, len(x.stack))
		for k, l := range x.stack {
			to := f(*l, i)
			key := fmt.Sprint(to)
			if known[key] == nil {
				known[key] = &to
			}
			stack[k] = known[key]
		}
		out.samples = append(out.samples, sample{stack, x.values, x.bytes})
	}
	out.index()
	return out
}

func mapNames(l location, name func(function) function) location {
	lines := make([]line, len(l.lines))
	for i, x := range l.lines {
		lines[i] = line{name(x.function), x.line}
	}
	return location{l.address, lines}
}

func cppName(f function) function {
	clean := strings.NewReplacer("(*", "", ")", "", "/", "::", ".", "::").Replace(f.name)
	return function{name: clean, file: f.file}
}

func (s *service) draw(r *rand.Rand) *sample {
	at := r.Int63n(s.upTo[len(s.upTo)-1])
	return &s.samples[sort.Search(len(s.upTo), func(i int) bool { return s.upTo[i] > at })]
}

// splice puts the leaf part of a stack on the root part of another.
func (s *service) splice(r *rand.Rand, stack []*location) []*location {
	if len(stack) == 0 {
		return stack
	}
	at := r.Intn(len(stack))
	others := s.where[stack[at]]
	if len(others) == 0 {
		return stack
	}
	other := s.samples[others[r.Intn(len(others))]].stack
	for j, l := range other {
		if l == stack[at] {
			return append(append([]*location{}, stack[:at]...), other[j:]...)
		}
	}
	return stack
}

type series struct {
	name             string
	from             *service
	profiles, draws  int
	spliced, splices int // per cent of the draws, and how often each
}

// counted is a profile of CPU samples: draws of the same stack are one sample.
func (x *series) counted(r *rand.Rand) []*sample {
	byStack := map[string]*sample{}
	var order []*sample
	for range x.draws {
		stack := x.from.draw(r).stack
		if r.Intn(100) < x.spliced {
			for range x.splices {
				stack = x.from.splice(r, stack)
			}
		}
		key := fmt.Sprint(stack)
		if byStack[key] == nil {
			byStack[key] = &sample{stack: stack, values: []uint64{0, 0}}
			order = append(order, byStack[key])
		}
		byStack[key].values[0]++
		byStack[key].values[1] += 10_000_000
	}
	return order
}

// alive is a heap profile: a part of the sites, each with a part of its values.
func (x *series) alive(r *rand.Rand) []*sample {
	var out []*sample
	for i := range x.from.samples {
		if r.Intn(100) >= 57 {
			continue
		}
		to := x.from.samples[i]
		part := uint64(r.Intn(100) + 1)
		values := make([]uint64, len(to.values))
		for k, v := range to.values {
			values[k] = v * part / 100
		}
		to.values = values
		out = append(out, &to)
	}
	return out
}

func (x *series) write(dir string) {
	r := rand.New(rand.NewSource(1))
	types := []valueType{{"samples", "count"}, {"cpu", "nanoseconds"}}
	var bytes, samples, frames, locations, strings int
	if x.draws == 0 {
		types = x.from.types
	}
	dir = filepath.Join(dir, x.name)
	check(os.MkdirAll(dir, 0o777))
	for i := range x.profiles {
		b := newBuilder(types, 10_000_000)
		drawn := x.alive
		if x.draws > 0 {
			drawn = x.counted
		}
		for _, s := range drawn(r) {
			b.sample(s)
			samples++
			frames += len(s.stack)
		}
		packed := b.finish()
		bytes += len(packed)
		locations += len(b.locations)
		strings += len(b.table)
		check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%04d.pb.gz", i)), packed, 0o666))
	}
	n := x.profiles
	fmt.Printf("%-10s %5d profiles, each %7.1f KB gz, %6d samples of depth %4.1f, %6d locations, %6d strings\n",
		x.name, n, float64(bytes)/float64(n)/1e3, samples/n, float64(frames)/float64(samples),
		locations/n, strings/n)
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: generate RECORDINGS OUT")
	}
	cpu := load(filepath.Join(os.Args[1], "go/grpc-cpu-with-spans.pb.gz"))
	heap := load(filepath.Join(os.Args[1], "go/alloc_objects.pb.gz"))
	jvm := loadJFR(filepath.Join(os.Args[1], "jfr/kafka-broker-cpu-*.jfr.gz"))
	cpp := cpu.renamed(func(l location, sample int) location {
		l = mapNames(l, cppName)
		l.address += uint64(sample%8) * 16
		for i := range l.lines {
			l.lines[i].line += int64(sample % 8)
		}
		return l
	})
	for _, x := range []series{
		{"jvm", jvm, 1000, 1000, 5, 1},
		{"jvm-novel", jvm, 600, 1000, 70, 2},
		{"go", cpu, 1000, 1000, 5, 1},
		{"heap", heap, 60, 0, 0, 0},
		{"cpp", cpp, 60, 20000, 2, 1},
	} {
		x.write(os.Args[2])
	}
}
