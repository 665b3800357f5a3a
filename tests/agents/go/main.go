// A service with known hot functions for Go's agents: hotA does 7 parts of the work, hotB 3.
//
//	service SECONDS pyroscope    pyroscope-go, by the PYROSCOPE_* variables read below
//	service SECONDS datadog      dd-trace-go's profiler, by DD_* (its period can be set in code only)
package main

import (
	"fmt"
	"log"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/DataDog/dd-trace-go/v2/profiler"
	"github.com/grafana/pyroscope-go"
)

const period = 2 * time.Second

var (
	sink uint64
	kept [][]byte
	line sync.Mutex
)

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

// Short turns: a turn near the sampler's period would beat with it.
func work() {
	for turn := 0; turn < 20; turn++ {
		hotA(700_000)
		hotB(300_000)
	}
}

func waitInLine() {
	line.Lock()
	time.Sleep(time.Millisecond)
	line.Unlock()
}

func holdTheLock() {
	for {
		waitInLine()
		time.Sleep(time.Millisecond)
	}
}

func serve(until time.Time) {
	go holdTheLock()
	for time.Now().Before(until) {
		work()
		for i := 0; i < 16; i++ {
			kept = append(kept, make([]byte, 16<<10))
		}
		if len(kept) > 256 {
			kept = nil
		}
		waitInLine()
	}
}

func labels() map[string]string {
	tags := map[string]string{}
	for _, tag := range strings.Split(os.Getenv("PYROSCOPE_LABELS"), ",") {
		key, value, _ := strings.Cut(tag, "=")
		tags[key] = value
	}
	return tags
}

func startPyroscope() (stop func(), err error) {
	runtime.SetMutexProfileFraction(5)
	runtime.SetBlockProfileRate(1000)
	p, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: os.Getenv("PYROSCOPE_APPLICATION_NAME"),
		ServerAddress:   os.Getenv("PYROSCOPE_SERVER_ADDRESS"),
		Tags:            labels(),
		UploadRate:      period,
		ProfileTypes: []pyroscope.ProfileType{pyroscope.ProfileCPU, pyroscope.ProfileAllocObjects,
			pyroscope.ProfileAllocSpace, pyroscope.ProfileInuseObjects, pyroscope.ProfileInuseSpace,
			pyroscope.ProfileGoroutines, pyroscope.ProfileMutexCount, pyroscope.ProfileMutexDuration,
			pyroscope.ProfileBlockCount, pyroscope.ProfileBlockDuration},
	})
	return func() {
		p.Flush(true)
		p.Stop()
	}, err
}

func startDatadog() (stop func(), err error) {
	return profiler.Stop, profiler.Start(profiler.WithPeriod(period), profiler.CPUDuration(period),
		profiler.WithProfileTypes(profiler.CPUProfile, profiler.HeapProfile, profiler.BlockProfile,
			profiler.MutexProfile, profiler.GoroutineProfile))
}

func main() {
	start := map[string]func() (func(), error){"pyroscope": startPyroscope, "datadog": startDatadog}
	if len(os.Args) != 3 || start[os.Args[2]] == nil {
		log.Fatal("usage: service SECONDS pyroscope|datadog")
	}
	seconds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	stop, err := start[os.Args[2]]()
	if err != nil {
		log.Fatal(err)
	}
	serve(time.Now().Add(time.Duration(seconds) * time.Second))
	stop()
	fmt.Println(sink)
}
