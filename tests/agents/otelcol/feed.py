"""The OpenTelemetry Collector between an agent's OTLP and Hearth: starts it, runs the service under the
agent that posts to it, and ends it, which sends what it still holds.

    feed.py OTELCOL CONFIG SERVICE…       RECEIVER, SERVICE, EXPORTER … (config.yaml) in the environment
"""
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

START_SECONDS = 20
DRAIN_SECONDS = 15


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)      # PR_SET_PDEATHSIG


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("feed: the Collector does not listen")


def main():
    binary, config, *service = sys.argv[1:]
    port = free_port()
    collector = subprocess.Popen(
        [binary, "--feature-gates=service.profilesSupport", "--config", config],
        env={**os.environ, "RECEIVER": f"127.0.0.1:{port}"}, preexec_fn=die_with_parent)
    wait_for(port)
    status = subprocess.run(service, env={**os.environ, "PYROSCOPE_SERVER_ADDRESS": f"http://127.0.0.1:{port}"},
                            preexec_fn=die_with_parent).returncode
    collector.terminate()
    return status or collector.wait(DRAIN_SECONDS)


sys.exit(main())
