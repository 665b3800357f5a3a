"""A service with known hot functions for Python's agents: hot_a does 7 parts of the work, hot_b 3.

    ddtrace-run python service.py SECONDS               ddtrace, by DD_* alone
    python service.py SECONDS pyroscope                 pyroscope-io, configured below
"""
import os
import sys
import threading
import time

lock = threading.Lock()


def hot_a(n):
    x = 0
    for i in range(n):
        x = (x * 31 + i) & 0xFFFFFFFF
    return x


def hot_b(n):
    x = 0
    for i in range(n):
        x = (x * 37 + i) & 0xFFFFFFFF
    return x


# Short turns: a turn near the sampler's period would beat with it.
def work():
    for _ in range(20):
        hot_a(7_000)
        hot_b(3_000)


def allocate():
    return [bytes(1000 + i) for i in range(200)]


def wait_in_line():
    with lock:
        time.sleep(0.001)


def hold_the_lock(until):
    while time.monotonic() < until:
        wait_in_line()
        time.sleep(0.001)


def start_pyroscope():
    import pyroscope
    pyroscope.configure(
        application_name=os.environ["PYROSCOPE_APPLICATION_NAME"],
        server_address=os.environ["PYROSCOPE_SERVER_ADDRESS"],
        tags=dict(tag.split("=") for tag in os.environ["PYROSCOPE_LABELS"].split(",")),
        upload_interval=2, mem_enabled=True)
    return pyroscope.shutdown


def main():
    stop = start_pyroscope() if sys.argv[2:] == ["pyroscope"] else None
    until = time.monotonic() + float(sys.argv[1])
    other = threading.Thread(target=hold_the_lock, args=(until,))
    other.start()
    kept = []
    while time.monotonic() < until:
        work()
        kept = kept[-20:] + [allocate()]
        wait_in_line()
    other.join()
    if stop:
        stop()


main()
