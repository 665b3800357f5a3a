"""The real agents of `./dev test agents`: how each is started over the service of its language, and
what Hearth must then know. docs/agents.md's table is made from here:
    agents.py --table           prints it
    agents.py --check PAGE      does the page hold it?
"""
import dataclasses
import os
import shutil
import sys
import typing

HERE = os.path.dirname(os.path.abspath(__file__))
ENV, VERSION = "test", "1.2.3"
TAGS = {"team": "core", "region": "eu"}
SECONDS = 6         # of service; every agent's period is two seconds, so that a run shows several uploads

CPU = {"process_cpu:cpu:nanoseconds"}
CPU_SAMPLES = {"process_cpu:samples:count"}
WALL = {"wall:wall:nanoseconds", "wall:samples:count"}
ALLOC = {"memory:alloc_space:bytes", "memory:alloc_objects:count"}
# Pyroscope's own names for what the JVM allocates in thread-local buffers.
TLAB = {"memory:alloc_in_new_tlab_bytes:bytes", "memory:alloc_in_new_tlab_objects:count"}
LIVE = {"memory:inuse_space:bytes", "memory:inuse_objects:count"}
MUTEX = {"mutex:contentions:count", "mutex:delay:nanoseconds"}
BLOCK = {"block:contentions:count", "block:delay:nanoseconds"}
LOCK = {"lock:lock-release:count", "lock:lock-release-hold:nanoseconds"}
GOROUTINES = {"goroutines:goroutine:count"}
GO = CPU | CPU_SAMPLES | ALLOC | LIVE | MUTEX | BLOCK | GOROUTINES


@dataclasses.dataclass(frozen=True)
class Agent:
    name: str
    version: str
    runtime: str                # what it runs in, as the documentation says it
    pin: tuple                  # (file, text in it that pins this version)
    homes: tuple                # what it needs of tests/agents/install, by its names
    argv: typing.Callable       # (directory of each home)
    env: typing.Callable        # (service, address, directory of each home)
    hot: str                    # the hot function; the other one's name has b for its last a
    types: frozenset            # the first three parts of every type that must be seen
    route: str
    share: str = "process_cpu:cpu:nanoseconds"      # the type whose shares are looked at
    transports: tuple = ("tcp",)                    # of tcp, unix, grpc
    named: bool = True                              # False: it sends neither service nor tags
    misnames: bool = False      # now and then it sends a function's lines under another function's name


def python_service(home, *args):
    return [f"{home}/bin/python", f"{HERE}/python/service.py", str(SECONDS), *args]


def node_service(home, *options, args=()):
    # The Node that is pinned beside the agent.
    return [f"{home}/node_modules/.bin/node", *options, f"{HERE}/node/service.js", str(SECONDS), *args]


def java_service(home, jar):
    return [shutil.which("java"), f"-javaagent:{home}/{jar}", "-cp", f"{home}/classes", "Service", str(SECONDS)]


# ---- Datadog's: all of them alike but for the period ----

def datadog_env(service, address):
    return {
        "DD_SERVICE": service, "DD_ENV": ENV, "DD_VERSION": VERSION,
        "DD_TAGS": ",".join(f"{k}:{v}" for k, v in TAGS.items()), "DD_TRACE_AGENT_URL": address,
        "DD_PROFILING_ENABLED": "true", "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    }


def datadog(name, version, runtime, pin, home, argv, hot, types, more, **rest):
    return Agent(
        name, version, runtime, pin, (home,), argv,
        lambda service, address, at: {**datadog_env(service, address), **more(at)},
        hot, frozenset(types), "/profiling/v1/input", transports=("tcp", "unix"), **rest)


def dd_trace(version, runtime, home):
    return datadog(
        "dd-trace", version, runtime, (f"node/{home}/package-lock.json", f'"dd-trace": "{version}"'), home,
        lambda at: node_service(at, "-r", "dd-trace/init"), "hotA", CPU | WALL | LIVE,
        lambda at: {"NODE_PATH": f"{at}/node_modules", "DD_PROFILING_UPLOAD_PERIOD": "2"})


DATADOG = [
    # Of 160 runs, 2 sent hot_a's lines as <module>, by the uploads' own function entries.
    datadog("ddtrace", "4.16.0", "CPython 3.11", ("python/ddtrace.txt", "ddtrace==4.16.0"), "ddtrace",
            lambda at: [f"{at}/bin/ddtrace-run", *python_service(at)], "hot_a",
            CPU | CPU_SAMPLES | WALL | ALLOC | LIVE | MUTEX | LOCK,
            lambda at: {"PATH": f"{at}/bin:/usr/bin:/bin", "DD_PROFILING_UPLOAD_INTERVAL": "2"}, misnames=True),
    dd_trace("5.132.0", "Node 18.20", "dd-trace-5"),
    dd_trace("6.21.0", "Node 22.23", "dd-trace-6"),
    datadog("dd-trace-go", "2.12.0", "Go 1.26", ("go/go.mod", "dd-trace-go/v2 v2.12.0"), "go",
            lambda at: [f"{at}/service", str(SECONDS), "datadog"], "main.hotA", GO,
            lambda at: {"DD_PROFILING_FLUSH_ON_EXIT": "true"}),
    datadog("dd-java-agent", "1.68.1", "JDK 17", ("java/pom.xml", "<version>1.68.1</version>"), "java",
            lambda at: java_service(at, "dd-java-agent-1.68.1.jar"), "Service.hotA",
            CPU | {"wall:wall:nanoseconds"} | ALLOC | LIVE | MUTEX,
            lambda at: {"DD_PROFILING_UPLOAD_PERIOD": "2", "DD_PROFILING_START_DELAY": "0",
                        "DD_PROFILING_START_FORCE_FIRST": "true"}),
]


# ---- Grafana's: what some read from the environment, the services of the others read for them ----

def pyroscope_env(service, address):
    labels = {"env": ENV, "version": VERSION, **TAGS}
    return {
        "PYROSCOPE_APPLICATION_NAME": service, "PYROSCOPE_SERVER_ADDRESS": address,
        "PYROSCOPE_LABELS": ",".join(f"{k}={v}" for k, v in labels.items()),
    }


def pyroscope(name, version, runtime, pin, home, argv, hot, types, route, more=lambda at: {}, **rest):
    return Agent(name, version, runtime, pin, (home,), argv,
                 lambda service, address, at: {**pyroscope_env(service, address), **more(at)},
                 hot, frozenset(types), route, **rest)


JAVA_PIN = ("java/pom.xml", "<version>2.9.2</version>")
JAVA_JAR = "agent-2.9.2.jar"
JAVA_OTLP = {"PYROSCOPE_UPLOAD_INTERVAL": "2s", "PYROSCOPE_FORMAT": "otlp"}
PUSH = "/push.v1.PusherService/Push"
OTLP = "/v1development/profiles"

PYROSCOPE = [
    pyroscope("pyroscope-io", "1.4.0", "CPython 3.11", ("python/pyroscope-io.txt", "pyroscope-io==1.4.0"),
              "pyroscope-io", lambda at: python_service(at, "pyroscope"), "hot_a", CPU | ALLOC | LIVE, PUSH),
    # Its CPU time lies on the samples unevenly; its wall time is what it samples by.
    pyroscope("@pyroscope/nodejs", "0.6.4", "Node 22.23",
              ("node/pyroscope-nodejs/package-lock.json", '"@pyroscope/nodejs": "0.6.4"'), "pyroscope-nodejs",
              lambda at: node_service(at, args=["pyroscope"]), "hotA", CPU | WALL | LIVE, "/ingest",
              lambda at: {"NODE_PATH": f"{at}/node_modules"}, share="wall:wall:nanoseconds"),
    pyroscope("pyroscope-go", "1.4.3", "Go 1.26", ("go/go.mod", "pyroscope-go v1.4.3"), "go",
              lambda at: [f"{at}/service", str(SECONDS), "pyroscope"], "main.hotA", GO, "/ingest"),
    pyroscope("io.pyroscope:agent, JFR", "2.9.2", "JDK 17", JAVA_PIN, "java",
              lambda at: java_service(at, JAVA_JAR), "Service.hotA", CPU | TLAB | MUTEX, "/ingest",
              lambda at: {"PYROSCOPE_UPLOAD_INTERVAL": "2s", "PYROSCOPE_FORMAT": "jfr",
                          "PYROSCOPE_PROFILER_ALLOC": "512k", "PYROSCOPE_PROFILER_LOCK": "1ms"}),
    pyroscope("io.pyroscope:agent, OTLP", "2.9.2", "JDK 17", JAVA_PIN, "java",
              lambda at: java_service(at, JAVA_JAR), "Service.hotA", CPU, OTLP, lambda at: JAVA_OTLP,
              named=False),
    pyroscope("pyroscope (crate)", "2.1.5", "Rust 1.89 or newer", ("rust/Cargo.toml", '"=2.1.5"'), "rust",
              lambda at: [f"{at}/service", str(SECONDS)], "hot_a", CPU, PUSH),
]


# ---- OpenTelemetry's Collector, fed by an agent that speaks OTLP and names no service ----

def otelcol(transport, exporter, route):
    return Agent(
        f"OpenTelemetry Collector, {exporter}", "0.165.0", "fed by io.pyroscope:agent 2.9.2",
        ("otelcol/builder.yaml", "otlpreceiver v0.165.0"), ("otelcol", "java"),
        lambda at, java: [sys.executable, f"{HERE}/otelcol/feed.py", f"{at}/otelcol",
                          f"{HERE}/otelcol/config.yaml", *java_service(java, JAVA_JAR)],
        lambda service, address, at, java: {
            **JAVA_OTLP, "PYROSCOPE_APPLICATION_NAME": service, "EXPORTER": exporter, "SERVICE": service,
            "VERSION": VERSION, "ENVIRONMENT": ENV, "HEARTH": address.split("//")[1]},
        "Service.hotA", frozenset(CPU), route, transports=(transport,))


AGENTS = [*DATADOG, *PYROSCOPE, otelcol("tcp", "otlp_http", OTLP),
          otelcol("grpc", "otlp_grpc", "opentelemetry…ProfilesService/Export")]


def pinned(agent):
    """Whether the file that installs it names this very version."""
    file, text = agent.pin
    with open(os.path.join(HERE, file)) as f:
        return text in f.read()


def table():
    words = {"tcp": "TCP", "unix": "unix socket", "grpc": "gRPC"}
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
