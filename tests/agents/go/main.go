// A service with known hot functions under the unmodified pyroscope-go SDK, for the agent test:
// hotA does 7 parts of the work, hotB 3. Usage: service SERVER VERSION SECONDS
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/grafana/pyroscope-go"
)

var sink uint64

//go:noinline
func hotA(n int) {
	for i := 0; i < n; i++ {
		sink = sink*6364136223846793005 + 1442695040888963407
	}
}

//go:noinline
func hotB(n int) {
	for i := 0; i < n; i++ {
		sink = sink*2862933555777941757 + 3037000493
	}
}

var kept [][]byte

func serve(until time.Time) {
	for time.Now().Before(until) {
		hotA(700_000)
		hotB(300_000)
		kept = append(kept, make([]byte, 4096))
		if len(kept) > 256 {
			kept = nil
		}
	}
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: service SERVER VERSION SECONDS")
		os.Exit(2)
	}
	seconds, err := strconv.Atoi(os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	runtime.SetMutexProfileFraction(5)
	runtime.SetBlockProfileRate(1000)
	p, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: "agent-go",
		ServerAddress:   os.Args[1],
		Tags:            map[string]string{"env": "test", "version": os.Args[2]},
		UploadRate:      2 * time.Second,
		ProfileTypes: []pyroscope.ProfileType{pyroscope.ProfileCPU, pyroscope.ProfileAllocObjects,
			pyroscope.ProfileAllocSpace, pyroscope.ProfileInuseObjects, pyroscope.ProfileInuseSpace,
			pyroscope.ProfileGoroutines, pyroscope.ProfileMutexCount, pyroscope.ProfileMutexDuration,
			pyroscope.ProfileBlockCount, pyroscope.ProfileBlockDuration},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	serve(time.Now().Add(time.Duration(seconds) * time.Second))
	p.Flush(true)
	p.Stop()
	fmt.Println(sink)
}
