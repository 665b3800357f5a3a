// The peer of the merge benchmark: google/pprof's Merge over the files of a directory, from disk to
// one written profile. Prints CPU seconds of all threads, wall seconds, peak RSS in KiB and samples.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/pprof/profile"
)

func read(path string) *profile.Profile {
	f, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		log.Fatalf("%s: %v", path, err)
	}
	return p
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: merge-google DIR")
	}
	start := time.Now()
	paths, _ := filepath.Glob(filepath.Join(os.Args[1], "*.pb.gz"))
	var all []*profile.Profile
	for _, path := range paths {
		all = append(all, read(path))
	}
	merged, err := profile.Merge(all)
	if err != nil {
		log.Fatal(err)
	}
	if err := merged.Write(io.Discard); err != nil {
		log.Fatal(err)
	}
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	cpu := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	fmt.Printf("%.3f %.3f %d %d\n", cpu.Seconds(), time.Since(start).Seconds(), u.Maxrss,
		len(merged.Sample))
}
