package main

import (
	"bytes"
	"compress/gzip"
)

// message is a protobuf message being written; zero values are left out, as the Go runtime does it.
type message struct{ b []byte }

func (m *message) varint(v uint64) {
	for ; v >= 0x80; v >>= 7 {
		m.b = append(m.b, byte(v)|0x80)
	}
	m.b = append(m.b, byte(v))
}

func (m *message) number(field int, v uint64) {
	if v != 0 {
		m.varint(uint64(field) << 3)
		m.varint(v)
	}
}

func (m *message) bytes(field int, b []byte) {
	m.varint(uint64(field)<<3 | 2)
	m.varint(uint64(len(b)))
	m.b = append(m.b, b...)
}

func (m *message) packed(field int, values []uint64) {
	var inner message
	for _, v := range values {
		inner.varint(v)
	}
	m.bytes(field, inner.b)
}

// builder emits one profile in the order of runtime/pprof: a location when a sample first needs it,
// its functions behind it, strings last.
type builder struct {
	out       message
	strings   map[string]uint64
	table     []string
	locations map[*location]uint64
	functions map[function]uint64
}

func newBuilder(types []valueType, period int64) *builder {
	b := &builder{
		strings:   map[string]uint64{"": 0},
		table:     []string{""},
		locations: map[*location]uint64{},
		functions: map[function]uint64{},
	}
	for _, t := range types {
		b.out.bytes(1, b.valueType(t))
	}
	b.out.number(9, 1_700_000_000_000_000_000)
	b.out.number(10, 10_000_000_000)
	b.out.bytes(11, b.valueType(types[len(types)-1]))
	b.out.number(12, uint64(period))
	return b
}

func (b *builder) str(s string) uint64 {
	id, ok := b.strings[s]
	if !ok {
		id = uint64(len(b.table))
		b.strings[s] = id
		b.table = append(b.table, s)
	}
	return id
}

func (b *builder) valueType(t valueType) []byte {
	var m message
	m.number(1, b.str(t.name))
	m.number(2, b.str(t.unit))
	return m.b
}

func (b *builder) function(f function) (id uint64, isNew bool) {
	id, ok := b.functions[f]
	if !ok {
		id = uint64(len(b.functions) + 1)
		b.functions[f] = id
	}
	return id, !ok
}

func (b *builder) location(l *location) uint64 {
	if id, ok := b.locations[l]; ok {
		return id
	}
	id := uint64(len(b.locations) + 1)
	b.locations[l] = id
	var m message
	var fresh []function
	m.number(1, id)
	m.number(2, 1)
	m.number(3, l.address)
	for _, line := range l.lines {
		var inner message
		fn, isNew := b.function(line.function)
		if isNew {
			fresh = append(fresh, line.function)
		}
		inner.number(1, fn)
		inner.number(2, uint64(line.line))
		m.bytes(4, inner.b)
	}
	b.out.bytes(4, m.b)
	for _, f := range fresh {
		b.emitFunction(f)
	}
	return id
}

func (b *builder) emitFunction(f function) {
	var m message
	m.number(1, b.functions[f])
	m.number(2, b.str(f.name))
	m.number(3, b.str(f.name))
	m.number(4, b.str(f.file))
	b.out.bytes(5, m.b)
}

func (b *builder) sample(s *sample) {
	var m message
	ids := make([]uint64, len(s.stack))
	for i, l := range s.stack {
		ids[i] = b.location(l)
	}
	m.packed(1, ids)
	m.packed(2, s.values)
	if s.bytes != 0 {
		var label message
		label.number(1, b.str("bytes"))
		label.number(3, s.bytes)
		m.bytes(3, label.b)
	}
	b.out.bytes(2, m.b)
}

func (b *builder) finish() []byte {
	var m message
	m.number(1, 1)
	m.number(2, 0x400000)
	m.number(3, 0x4000000)
	m.number(5, b.str("/usr/bin/service"))
	m.number(6, b.str("0123456789abcdef"))
	m.number(7, 1)
	b.out.bytes(3, m.b)
	for _, s := range b.table {
		b.out.bytes(6, []byte(s))
	}
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	z.Write(b.out.b)
	z.Close()
	return packed.Bytes()
}
