package main

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// recording is what `jfr print --json` says of jdk.ExecutionSample, as far as it matters here.
type recording struct {
	Recording struct {
		Events []struct {
			Values struct {
				StackTrace struct {
					Frames []struct {
						Method struct {
							Type struct{ Name string }
							Name string
						}
						LineNumber int64
					}
				}
			}
		}
	}
}

// loadJFR is the service of the execution samples of all recordings that match.
func loadJFR(pattern string) *service {
	paths, err := filepath.Glob(pattern)
	check(err)
	s := &service{types: []valueType{{"samples", "count"}, {"cpu", "nanoseconds"}}}
	known := map[line]*location{}
	for _, path := range paths {
		for _, event := range readJFR(path).Recording.Events {
			to := sample{values: []uint64{1, 10_000_000}}
			for _, f := range event.Values.StackTrace.Frames {
				class := strings.ReplaceAll(f.Method.Type.Name, ".", "/")
				at := line{function{name: strings.TrimPrefix(class+"."+f.Method.Name, ".")}, f.LineNumber}
				if known[at] == nil {
					known[at] = &location{lines: []line{at}}
				}
				to.stack = append(to.stack, known[at])
			}
			s.samples = append(s.samples, to)
		}
	}
	s.index()
	return s
}

// readJFR prints a recording by the JDK's own tool, which reads files only.
func readJFR(path string) *recording {
	packed, err := os.Open(path)
	check(err)
	defer packed.Close()
	unzip, err := gzip.NewReader(packed)
	check(err)
	plain, err := os.CreateTemp("", "generate-*.jfr")
	check(err)
	defer os.Remove(plain.Name())
	_, err = io.Copy(plain, unzip)
	check(err)
	check(plain.Close())
	text, err := exec.Command("jfr", "print", "--json", "--stack-depth", "1024",
		"--events", "jdk.ExecutionSample", plain.Name()).Output()
	check(err)
	out := &recording{}
	check(json.Unmarshal(text, out))
	return out
}
