"""How the scripts of cmd/bench measure."""
import time


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


