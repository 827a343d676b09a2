"""Times OpenBLAS's sgemm for internal/bench: each line of JSON on standard input gives a size, and a line on standard output the seconds of one call."""
import array
import ctypes
import json
import random
import sys
import time

lib = ctypes.CDLL("libopenblas.so.0")
lib.openblas_get_corename.restype = ctypes.c_char_p


def product(m, n, k):
    a, b, c = (array.array("f", [random.random()]) * length for length in (m * k, k * n, m * n))
    pointers = [(ctypes.c_float * len(v)).from_buffer(v) for v in (a, b, c)]
    integers = [ctypes.c_int(v) for v in (m, n, k)]
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    order, no = ctypes.c_int(101), ctypes.c_int(111)
    return lambda: lib.cblas_sgemm(order, no, no, *integers, one, pointers[0], integers[2], pointers[1], integers[1], zero, pointers[2], integers[1])


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


print(json.dumps({"Name": lib.openblas_get_corename().decode()}), flush=True)
for line in sys.stdin:
    q = json.loads(line)
    lib.openblas_set_num_threads(q["Threads"])
    print(json.dumps({"Seconds": clock(product(*q["Size"]), q["Seconds"], q["CPU"])}), flush=True)
