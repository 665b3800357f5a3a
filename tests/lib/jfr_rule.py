"""What JFR events count for: the rule of docs/formats.md, stated again by hand. Counts, sums and durations
are the JDK's own reading of them; what they become here must be what Hearth shows.
"""
import collections
import re

import recordings
from recordings import CPU, TYPES, WALL

MS = 1_000_000

# Of the recordings' own jdk.ActiveSetting (`jfr print --events jdk.ActiveSetting`), in nanoseconds: of
# jdk.ExecutionSample or datadog.ExecutionSample, and of samples by the wall clock. async-profiler writes
# "interval 0" for its default of 10 ms; the JDK "period 9 ms".
INTERVALS = {
    "dd_java_agent_1_68_1": {"cpu": 10 * MS, "wall": 50 * MS},
    "dd_java_agent_1_68_1__jfr_only": {"cpu": 9 * MS},
    "pyroscope_java_2_9_2": {"cpu": 10 * MS},
    "async_profiler_4_5__jfr": {"cpu": 10 * MS, "wall": 20 * MS},
    "dd-trace-java": {"cpu": 9 * MS},
    "object-allocation-sample": {"cpu": 9 * MS},
    "dump2": {"wall_only": 10 * MS},    # event=wall: all samples are of the wall clock
    **{f"kafka-broker-cpu-{i}": {"cpu": 10 * MS} for i in range(4)},
    **{f"kafka-broker-cpu-lock-alloc-{i}": {"cpu": 10 * MS} for i in range(2)},
}


def memory(type_, unit, period="space:bytes"):
    return f"memory:{type_}:{unit}:{period}"


def io(word, amount):
    return lambda e: [(f"io:{word}-time:nanoseconds::", float(e["sums"]["duration_ns"])),
                      (f"io:{word}-size:bytes::", e["sums"][amount])]


def lock(family):
    return lambda e: [(f"{family}:contentions:count:{family}:count", e["events"]),
                      (f"{family}:delay:nanoseconds:{family}:count", float(e["sums"]["duration_ns"]))]


# Event → the types it counts in, without those that need an interval. A float is one that is rounded event
# by event: fractions, and times, which are ticks of a clock.
RULE = {
    "jdk.ObjectAllocationInNewTLAB": lambda e: [
        (memory("alloc_in_new_tlab_objects", "count"), e["events"]),
        (memory("alloc_in_new_tlab_bytes", "bytes"), e["sums"]["tlabSize"])],
    "jdk.ObjectAllocationOutsideTLAB": lambda e: [
        (memory("alloc_outside_tlab_objects", "count"), e["events"]),
        (memory("alloc_outside_tlab_bytes", "bytes"), e["sums"]["allocationSize"])],
    "jdk.ObjectAllocationSample": lambda e: [
        (memory("alloc_sample_objects", "count"), e["events"]),
        (memory("alloc_sample_bytes", "bytes"), e["sums"]["weight"])],
    "datadog.ObjectSample": lambda e: [
        (TYPES["alloc_objects"], float(e["sums"]["weight"])),
        (TYPES["alloc_space"], float(e["sums"]["size_x_weight"]))],
    "datadog.HeapLiveObject": lambda e: [
        (TYPES["inuse_objects"], float(e["sums"]["weight"])),
        (TYPES["inuse_space"], float(e["sums"]["size_x_weight"]))],
    "profiler.LiveObject": lambda e: [(memory("live", "count", "objects:count"), e["events"])],
    "jdk.JavaMonitorEnter": lock("mutex"),
    "jdk.ThreadPark": lock("block"),
    "jdk.JavaMonitorWait": lock("block"),
    "jdk.FileRead": io("file-io-read", "bytesRead"),
    "jdk.FileWrite": io("file-io-write", "bytesWritten"),
    "jdk.SocketRead": io("socket-read", "bytesRead"),
    "jdk.SocketWrite": io("socket-write", "bytesWritten"),
    "datadog.ExceptionSample": lambda e: [(TYPES["exception-samples"], e["events"])],
}
SAMPLES = {"jdk.ExecutionSample", "datadog.ExecutionSample", "datadog.MethodSample", "profiler.WallClockSample"}
RUNS = {"STATE_RUNNABLE", "STATE_DEFAULT", "RUNNABLE"}


def of_samples(name, event, interval):
    if name == "jdk.ExecutionSample" and "wall_only" in interval:
        running = sum(n for state, n in event["states"].items() if state in RUNS)
        return [(WALL, event["events"] * interval["wall_only"]), (CPU, running * interval["wall_only"])]
    if name == "jdk.ExecutionSample":
        return [(CPU, event["events"] * interval["cpu"])]
    if name == "datadog.ExecutionSample":
        return [(CPU, event["sums"]["weight"] * interval["cpu"])]
    if name == "datadog.MethodSample":
        return [(WALL, event["sums"]["weight"] * interval["wall"])]
    return [(WALL, event["sums"]["samples"] * interval["wall"])]


def of_chunks(chunks, recording):
    """{five-part type: {"total", "slack", "top_self"}}; chunks: [{event name: {"events", "sums", …}}]."""
    wanted = {}
    for events in chunks:
        for name, event in events.items():
            values = (of_samples(name, event, INTERVALS[recording]) if name in SAMPLES else
                      RULE[name](event) if name in RULE else [])
            for type_, value in values:
                want = wanted.setdefault(type_, {"total": 0, "slack": 0, "top_self": []})
                want["total"] += round(value)
                want["slack"] += event["events"] if isinstance(value, float) else 0
                if type_ == CPU and name in SAMPLES:
                    want["top_self"] += functions_of(event, value)
    return wanted


def functions_of(event, value):
    """The service's own functions, of samples that all weigh the same. (Other names may be spelled otherwise.)"""
    return [{"function": f, "self": n * value // event["events"]}
            for f, n in event.get("top_self_events", {}).items() if re.fullmatch(r"Demo\.\w+", f)]


def nanoseconds(duration):
    """Of "PT1M2.000000003S"."""
    hours, minutes, seconds = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?", duration).groups()
    whole, _, fraction = (seconds or "0").partition(".")
    return ((int(hours or 0) * 60 + int(minutes or 0)) * 60 + int(whole)) * 1_000_000_000 + int(
        (fraction + "0" * 9)[:9])


def summarise(chunk):
    """A chunk's events as the recordings' expected*.json sum them up."""
    out = {}
    for name, values in recordings.jfr_events(chunk, [*RULE, *SAMPLES]):
        event = out.setdefault(name, {"events": 0, "sums": collections.Counter(), "states": collections.Counter()})
        event["events"] += 1
        event["states"][values.get("state")] += 1
        for field, value in values.items():
            if field == "duration":
                event["sums"]["duration_ns"] += nanoseconds(value)
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                event["sums"][field] += value
        if "size" in values and "weight" in values:
            event["sums"]["size_x_weight"] += values["size"] * values["weight"]
    return out


def of_file(raw, recording):
    return of_chunks([summarise(c) for c in recordings.jfr_chunks(raw)], recording)
