"""The real agents of `./dev test agents`: how each is started over the service of its language, and
what Hearth must then know. docs/agents.md's table is made from here:
    agents.py --table           prints it
    agents.py --check PAGE      does the page hold it?
"""
import collections
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ENV, VERSION = "test", "1.2.3"
TAGS = {"team": "core", "region": "eu"}
SECONDS = 6
DATADOG_ROUTE = "/profiling/v1/input"
# Every period is set to two or three seconds, so that a run shows several uploads.
DATADOG = {
    "DD_ENV": ENV, "DD_VERSION": VERSION, "DD_TAGS": ",".join(f"{k}:{v}" for k, v in TAGS.items()),
    "DD_PROFILING_ENABLED": "true", "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
}
PYROSCOPE = {
    "PYROSCOPE_LABELS": ",".join(f"{k}={v}" for k, v in {"env": ENV, "version": VERSION, **TAGS}.items()),
}

CPU = {"process_cpu:cpu:nanoseconds"}
CPU_SAMPLES = {"process_cpu:samples:count"}
WALL = {"wall:wall:nanoseconds", "wall:samples:count"}
ALLOC = {"memory:alloc_space:bytes", "memory:alloc_objects:count"}
LIVE = {"memory:inuse_space:bytes", "memory:inuse_objects:count"}
MUTEX = {"mutex:contentions:count", "mutex:delay:nanoseconds"}
BLOCK = {"block:contentions:count", "block:delay:nanoseconds"}
GOROUTINES = {"goroutines:goroutine:count"}

Agent = collections.namedtuple("Agent", [
    "name", "version",
    "runtime",          # what it runs in, as the documentation says it
    "home",             # what tests/agents/install brings, and calls so
    "pin",              # (file, line that pins it)
    "route",            # where it posts
    "transports",       # of tcp, unix
    "argv",             # of its home directory
    "env",              # of its home directory
    "hot",              # the hot function's name begins or ends with it; the other has b for a
    "types",            # the first three parts of each type that must be seen
    "named",            # False: it sends neither service nor tags
])


def datadog(name, version, runtime, home, pin, argv, hot, types, env=None):
    return Agent(name, version, runtime, home, pin, DATADOG_ROUTE, ("tcp", "unix"), argv,
                 lambda at: {**DATADOG, **(env(at) if env else {})}, hot, types, True)


def pyroscope(name, version, runtime, home, pin, route, argv, hot, types, env=None, named=True):
    return Agent(name, version, runtime, home, pin, route, ("tcp",), argv,
                 lambda at: {**PYROSCOPE, **(env(at) if env else {})}, hot, types, named)


def python(at, *args):
    return [f"{at}/bin/python", f"{HERE}/python/service.py", str(SECONDS), *args]


def node(at, *args):
    # The Node that is pinned beside the agent.
    return [f"{at}/node_modules/.bin/node", *args]


def node_env(at):
    return {"NODE_PATH": f"{at}/node_modules"}


def java(at, agent):
    return [shutil.which("java"), f"-javaagent:{at}/{agent}", "-cp", f"{at}/classes", "Service", str(SECONDS)]


def dd_trace(version, runtime, home, types):
    return datadog(
        "dd-trace", version, runtime, home, (f"node/{home}/package-lock.json", f'"dd-trace": "{version}"'),
        lambda at: node(at, "-r", "dd-trace/init", f"{HERE}/node/service.js", str(SECONDS)), "hotA", types,
        lambda at: {**node_env(at), "DD_PROFILING_UPLOAD_PERIOD": "2"})


def pyroscope_java(mode, route, types, named, **env):
    return pyroscope(
        f"io.pyroscope:agent, {mode}", "2.9.2", "JDK 17", "java", ("java/pom.xml", "<version>2.9.2</version>"),
        route, lambda at: java(at, "agent-2.9.2.jar"), "Service.hotA", types,
        lambda at: {"PYROSCOPE_UPLOAD_INTERVAL": "2s", "PYROSCOPE_FORMAT": mode.lower(), **env}, named)


AGENTS = [
    datadog("ddtrace", "4.16.0", "CPython 3.11", "ddtrace", ("python/ddtrace.txt", "ddtrace==4.16.0"),
            lambda at: [f"{at}/bin/ddtrace-run", *python(at)], "hot_a",
            CPU | CPU_SAMPLES | WALL | ALLOC | {"memory:inuse_space:bytes"} | MUTEX,
            lambda at: {"PATH": f"{at}/bin:/usr/bin:/bin", "DD_PROFILING_UPLOAD_INTERVAL": "2"}),
    dd_trace("5.132.0", "Node 18.20", "dd-trace-5", CPU | WALL | LIVE),
    dd_trace("6.21.0", "Node 22.23", "dd-trace-6", CPU | WALL | LIVE),
    datadog("dd-trace-go", "2.12.0", "Go 1.26", "go", ("go/go.mod", "dd-trace-go/v2 v2.12.0"),
            lambda at: [f"{at}/service", str(SECONDS), "datadog"], "main.hotA",
            CPU | CPU_SAMPLES | ALLOC | LIVE | MUTEX | BLOCK | GOROUTINES,
            lambda at: {"DD_PROFILING_FLUSH_ON_EXIT": "true"}),
    datadog("dd-java-agent", "1.68.1", "JDK 17", "java", ("java/pom.xml", "<version>1.68.1</version>"),
            lambda at: java(at, "dd-java-agent-1.68.1.jar"), "Service.hotA", CPU,
            lambda at: {"DD_PROFILING_UPLOAD_PERIOD": "2", "DD_PROFILING_START_DELAY": "0",
                        "DD_PROFILING_START_FORCE_FIRST": "true"}),
    pyroscope("pyroscope-io", "1.4.0", "CPython 3.11", "pyroscope-io",
              ("python/pyroscope-io.txt", "pyroscope-io==1.4.0"), "/push.v1.PusherService/Push",
              lambda at: python(at, "pyroscope"), "hot_a", CPU | ALLOC | LIVE),
    pyroscope("@pyroscope/nodejs", "0.6.4", "Node 22.23", "pyroscope-nodejs",
              ("node/pyroscope-nodejs/package-lock.json", '"@pyroscope/nodejs": "0.6.4"'), "/ingest",
              lambda at: node(at, f"{HERE}/node/service.js", str(SECONDS), "pyroscope"), "hotA",
              CPU | WALL | LIVE, node_env),
    pyroscope("pyroscope-go", "1.4.3", "Go 1.26", "go", ("go/go.mod", "pyroscope-go v1.4.3"), "/ingest",
              lambda at: [f"{at}/service", str(SECONDS), "pyroscope"], "main.hotA",
              CPU | CPU_SAMPLES | ALLOC | LIVE | MUTEX | BLOCK | GOROUTINES),
    pyroscope_java("JFR", "/ingest", CPU | ALLOC | MUTEX, True, PYROSCOPE_PROFILER_ALLOC="512k",
                   PYROSCOPE_PROFILER_LOCK="1ms"),
    pyroscope_java("OTLP", "/v1development/profiles", CPU, False),
    pyroscope("pyroscope (crate)", "2.1.5", "Rust 1.89 or newer", "rust", ("rust/Cargo.toml", '"=2.1.5"'),
              "/push.v1.PusherService/Push", lambda at: [f"{at}/service", str(SECONDS)], "hot_a", CPU),
]


def pinned(agent):
    """Whether the file that installs it names this very version."""
    file, line = agent.pin
    with open(os.path.join(HERE, file)) as f:
        return line in f.read()


def table():
    words = {"tcp": "TCP", "unix": "unix socket"}
    yield "| agent | version tested | in | posts to | over | types seen |"
    yield "|---|---|---|---|---|---|"
    for a in AGENTS:
        assert pinned(a), f"{a.pin[0]} does not pin {a.pin[1]}"
        over = ", ".join(words[t] for t in a.transports)
        types = ", ".join(f"`{t}`" for t in sorted(a.types))
        yield f"| {a.name} | {a.version} | {a.runtime} | `{a.route}` | {over} | {types} |"


def check(path):
    """Whether the page holds just this table."""
    with open(path) as f:
        held = [line.rstrip("\n") for line in f]
    made = list(table())
    if made[0] in held:
        at = held.index(made[0])
        if held[at:at + len(made)] == made and not held[at + len(made)].startswith("|"):
            return 0
    print(f"{path} does not hold the table that `tests/agents/agents.py --table` prints", file=sys.stderr)
    return 1


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        print("\n".join(table()))
    elif len(sys.argv) == 3 and sys.argv[1] == "--check":
        sys.exit(check(sys.argv[2]))
    else:
        sys.exit("usage: agents.py --table | --check PAGE")
