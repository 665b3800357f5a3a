// The oracle: what google/pprof's own profile package reads out of files, as JSON. Several files are
// merged by its Merge first. Self goes to a sample's leaf line, total once to each function of a
// sample however often it recurs; functions are keyed by (name, file).
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/pprof/profile"
)

type function struct {
	Name  string  `json:"name"`
	File  string  `json:"file"`
	Self  []int64 `json:"self"`
	Total []int64 `json:"total"`
}

type report struct {
	Types     []string    `json:"types"` // sample type / unit
	Totals    []int64     `json:"totals"`
	Samples   int         `json:"samples"`
	TimeNanos int64       `json:"time_nanos"`
	Duration  int64       `json:"duration_nanos"`
	Functions []*function `json:"functions"`
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
		Duration: p.DurationNanos}
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

func main() {
	p, err := read(os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(summarize(p))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}
