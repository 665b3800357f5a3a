// The oracle: what google/pprof's own profile package reads out of files, as JSON. Several files are
// merged by its Merge first. Self goes to a sample's leaf line, total once to each function of a
// sample however often it recurs; functions are keyed by (name, file).
//
//	oracle FILE…         the sums of the files, merged
//	oracle -whole FILE…  the merged profile in whole (whole.go)
//	oracle -each FILE…   a line of JSON for each file: why it is refused, or a hash of it in whole
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/google/pprof/profile"
)

type function struct {
	Name  string  `json:"name"`
	File  string  `json:"file"`
	Self  []int64 `json:"self"`
	Total []int64 `json:"total"`
}

// The samples of one set of labels; "" is the key of those without.
type labelled struct {
	Labels string  `json:"labels"`
	Values []int64 `json:"values"`
}

type report struct {
	Types     []string    `json:"types"` // sample type / unit
	Totals    []int64     `json:"totals"`
	Samples   int         `json:"samples"`
	TimeNanos int64       `json:"time_nanos"`
	Duration  int64       `json:"duration_nanos"`
	Functions []*function `json:"functions"`
	Labels    []*labelled `json:"labels"`
	Comments  []string    `json:"comments"`
	DocURL    string      `json:"doc_url"`
	Drop      string      `json:"drop_frames"`
	Keep      string      `json:"keep_frames"`
}

// Each label as key=value or key=number unit, sorted.
func labelsOf(s *profile.Sample) string {
	var all []string
	for k, vs := range s.Label {
		for _, v := range vs {
			all = append(all, k+"="+v)
		}
	}
	for k, vs := range s.NumLabel {
		for i, v := range vs {
			unit := ""
			if units := s.NumUnit[k]; i < len(units) {
				unit = units[i]
			}
			all = append(all, fmt.Sprintf("%s=%d %s", k, v, unit))
		}
	}
	sort.Strings(all)
	return strings.Join(all, ",")
}

func byLabels(p *profile.Profile) (out []*labelled) {
	sets := map[string]*labelled{}
	for _, s := range p.Sample {
		k := labelsOf(s)
		if sets[k] == nil {
			sets[k] = &labelled{Labels: k, Values: make([]int64, len(p.SampleType))}
			out = append(out, sets[k])
		}
		for i, v := range s.Value {
			sets[k].Values[i] += v
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Labels < out[j].Labels })
	return out
}

func read(paths []string) (*profile.Profile, error) {
	var all []*profile.Profile
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		p, err := profile.Parse(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, p)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return profile.Merge(all)
}

func summarize(p *profile.Profile) *report {
	n := len(p.SampleType)
	r := &report{Totals: make([]int64, n), Samples: len(p.Sample), TimeNanos: p.TimeNanos,
		Duration: p.DurationNanos, Labels: byLabels(p), Comments: p.Comments, DocURL: p.DocURL,
		Drop: p.DropFrames, Keep: p.KeepFrames}
	for _, t := range p.SampleType {
		r.Types = append(r.Types, t.Type+"/"+t.Unit)
	}
	type key struct{ name, file string }
	functions := map[key]*function{}
	at := func(l profile.Line) *function {
		k := key{}
		if l.Function != nil {
			k = key{l.Function.Name, l.Function.Filename}
		}
		f := functions[k]
		if f == nil {
			f = &function{Name: k.name, File: k.file, Self: make([]int64, n), Total: make([]int64, n)}
			functions[k] = f
			r.Functions = append(r.Functions, f)
		}
		return f
	}
	for _, s := range p.Sample {
		leaf := true
		seen := map[*function]bool{}
		for i, v := range s.Value {
			r.Totals[i] += v
		}
		for _, loc := range s.Location {
			for _, line := range loc.Line {
				f := at(line)
				for i, v := range s.Value {
					if leaf {
						f.Self[i] += v
					}
					if !seen[f] {
						f.Total[i] += v
					}
				}
				seen[f] = true
				leaf = false
			}
			if len(loc.Line) == 0 {
				leaf = false // an unsymbolised leaf has no function to give its self to
			}
		}
	}
	return r
}

// What Merge makes of one file.
func compacted(path string) (*profile.Profile, error) {
	p, err := read([]string{path})
	if err == nil {
		p, err = profile.Merge([]*profile.Profile{p})
	}
	return p, err
}

type one struct {
	Error string `json:"error"`
	Hash  string `json:"hash"`
	Huge  bool   `json:"huge"`
}

func each(paths []string) error {
	out := json.NewEncoder(os.Stdout)
	for _, path := range paths {
		var o one
		if p, err := compacted(path); err != nil {
			o.Error = err.Error()
		} else {
			lines, huge := whole(p)
			o.Hash = fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, "\n"))))
			o.Huge = huge
		}
		if err := out.Encode(&o); err != nil {
			return err
		}
	}
	return nil
}

func printWhole(paths []string) error {
	p, err := read(paths)
	if err == nil {
		p, err = profile.Merge([]*profile.Profile{p})
	}
	if err == nil {
		lines, _ := whole(p)
		_, err = fmt.Println(strings.Join(lines, "\n"))
	}
	return err
}

func run(args []string) error {
	if len(args) > 0 && args[0] == "-each" {
		return each(args[1:])
	}
	if len(args) > 0 && args[0] == "-whole" {
		return printWhole(args[1:])
	}
	p, err := read(args)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(summarize(p))
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}
