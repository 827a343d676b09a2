"""What the scripts of cmd/bench share: how they measure, and how they say what they are."""
import json
import platform
import sys
import time


def say(**fields):
    print(json.dumps(fields), flush=True)


def introduce(name):
    """The first line: the library's name, and which Python runs it."""
    say(Name=name, Python=platform.python_version(), Path=sys.executable)


def missing(why):
    """The only line, where the library cannot be used."""
    say(Missing=str(why).split("\n")[0], Python=platform.python_version(), Path=sys.executable)
    sys.exit(0)


def clock(f, seconds, cpu):
    """The median processor time, or the tenth percentile of the elapsed time."""
    now, pick = (time.process_time, 0.5) if cpu else (time.perf_counter, 0.1)
    f()
    calls = 1
    while True:
        begin = time.perf_counter()
        for _ in range(calls):
            f()
        if time.perf_counter() - begin > 1e-3:
            break
        calls *= 2
    times = []
    begin = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        start = now()
        for _ in range(calls):
            f()
        times.append((now() - start) / calls)
    times.sort()
    return times[int(len(times) * pick)]


