// A profile in whole, as sorted text: equal texts are equal profiles, whatever their ids and order.
package main

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/google/pprof/profile"
)

const page = 0x1000

// Each byte that is no UTF-8 is U+FFFD.
func text(s string) string { return fmt.Sprintf("%q", string([]rune(s))) }

// As Merge tells mappings apart.
func mappingOf(m *profile.Mapping) string {
	if m == nil {
		return "-"
	}
	name := m.BuildID
	if name == "" {
		name = m.File
	}
	return fmt.Sprintf("%d+%d %s", m.Offset, (m.Limit-m.Start+page-1)/page, text(name))
}

func locationOf(l *profile.Location) string {
	address := l.Address
	if l.Mapping != nil {
		address -= l.Mapping.Start
	}
	out := fmt.Sprintf("%s %#x %t", mappingOf(l.Mapping), address, l.IsFolded)
	for _, line := range l.Line {
		f := line.Function
		system := f.SystemName
		if system == "" {
			system = f.Name
		}
		out += fmt.Sprintf(" | %s %s %s:%d %d:%d", text(f.Name), text(system), text(f.Filename), f.StartLine,
			line.Line, line.Column)
	}
	return out
}

// Labels are a set.
func labelSetOf(s *profile.Sample) string {
	seen := map[string]bool{}
	for k, vs := range s.Label {
		for _, v := range vs {
			seen[text(k)+"="+text(v)] = true
		}
	}
	for k, vs := range s.NumLabel {
		for i, v := range vs {
			unit := ""
			if units := s.NumUnit[k]; i < len(units) {
				unit = units[i]
			}
			seen[fmt.Sprintf("%s=%d %s", text(k), v, text(unit))] = true
		}
	}
	var all []string
	for l := range seen {
		all = append(all, l)
	}
	sort.Strings(all)
	return strings.Join(all, ", ")
}

func allZero(values []int64) bool {
	for _, v := range values {
		if v != 0 {
			return false
		}
	}
	return true
}

func typeOf(t *profile.ValueType) string {
	if t == nil {
		return "/"
	}
	return text(t.Type) + "/" + text(t.Unit)
}

// whole also says whether a value is so great that a sum may have overflowed.
func whole(p *profile.Profile) (lines []string, huge bool) {
	sums := map[string][]int64{}
	for _, s := range p.Sample {
		var at []string
		for _, l := range s.Location {
			at = append(at, locationOf(l))
		}
		key := strings.Join(at, "\n    ") + "\n  labels " + labelSetOf(s)
		if sums[key] == nil {
			sums[key] = make([]int64, len(s.Value))
		}
		for i, v := range s.Value {
			sums[key][i] += v
			huge = huge || v > math.MaxInt64/1024 || v < math.MinInt64/1024
		}
	}
	for key, values := range sums {
		if !allZero(values) {
			lines = append(lines, fmt.Sprintf("sample %v\n    %s", values, key))
		}
	}
	for i, m := range p.Mapping {
		first := ""
		if i == 0 {
			first = "first "
		}
		lines = append(lines, fmt.Sprintf("%smapping %#x-%#x %#x %s %s %t %t %t %t", first, m.Start, m.Limit, m.Offset,
			text(m.File), text(m.BuildID), m.HasFunctions, m.HasFilenames, m.HasLineNumbers, m.HasInlineFrames))
	}
	for i, t := range p.SampleType {
		lines = append(lines, fmt.Sprintf("type %d %s", i, typeOf(t)))
	}
	for _, c := range p.Comments {
		lines = append(lines, "comment "+text(c))
	}
	sort.Strings(lines)
	lines = append(lines, fmt.Sprintf("period %s %d, time %d, duration %d, doc %s, drop %s, keep %s, default %s",
		typeOf(p.PeriodType), p.Period, p.TimeNanos, p.DurationNanos, text(p.DocURL), text(p.DropFrames),
		text(p.KeepFrames), text(p.DefaultSampleType)))
	return lines, huge
}
