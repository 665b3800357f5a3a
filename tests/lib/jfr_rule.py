"""What JFR events count for: the rule of docs/formats.md, stated again by hand. Counts and sums of fields
are the JDK's own reading; what they become here must be what Hearth shows.
"""
from recordings import CPU, TYPES, WALL

MS = 1_000_000

# Of the recordings' jdk.ActiveSetting, read by `jfr print`. async-profiler writes 0 for its default.
INTERVALS = {
    "dd_java_agent_1_68_1": {"cpu": 10 * MS, "wall": 50 * MS},
    "dd_java_agent_1_68_1__jfr_only": {"cpu": 9 * MS},
    "pyroscope_java_2_9_2": {"cpu": 10 * MS},
    "async_profiler_4_5__jfr": {"cpu": 10 * MS, "wall": 20 * MS},
}


def of_event(name, event, interval):
    """[(five-part type, value)] of all events of one name: {"events": n, "sums": {field: Σ}}."""
    n, sums = event["events"], event["sums"]
    if name == "datadog.ExecutionSample":
        return [(CPU, sums["weight"] * interval["cpu"])]
    if name == "jdk.ExecutionSample":
        return [(CPU, n * interval["cpu"])]
    return []
