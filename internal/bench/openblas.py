"""Times OpenBLAS's sgemm for internal/bench: one JSON argument with the sizes, one JSON line with its core's name and the seconds."""
import array
import ctypes
import json
import random
import sys
import time

arg = json.loads(sys.argv[1])
lib = ctypes.CDLL("libopenblas.so.0")
lib.openblas_get_corename.restype = ctypes.c_char_p


def measure(now, pick):
    rows = []
    for m, n, k in arg["sizes"]:
        a, b, c = (array.array("f", [random.random()]) * length for length in (m * k, k * n, m * n))
        pointers = [(ctypes.c_float * len(v)).from_buffer(v) for v in (a, b, c)]
        integers = [ctypes.c_int(v) for v in (m, n, k)]
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        order, no = ctypes.c_int(101), ctypes.c_int(111)
        call = lambda: lib.cblas_sgemm(order, no, no, *integers, one, pointers[0], integers[2], pointers[1], integers[1], zero, pointers[2], integers[1])
        call()
        calls = 1
        while True:
            begin = time.perf_counter()
            for _ in range(calls):
                call()
            if time.perf_counter() - begin > 1e-3:
                break
            calls *= 2
        times = []
        begin = time.perf_counter()
        while len(times) < 5 or time.perf_counter() - begin < arg["seconds"]:
            start = now()
            for _ in range(calls):
                call()
            times.append((now() - start) / calls)
        times.sort()
        rows.append(times[int(len(times) * pick)])
    return rows


lib.openblas_set_num_threads(1)
one = measure(time.process_time, 0.5)
lib.openblas_set_num_threads(arg["threads"])
print(json.dumps({"Core": lib.openblas_get_corename().decode(), "One": one, "All": measure(time.perf_counter, 0.1)}))
