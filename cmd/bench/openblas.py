"""Times OpenBLAS's sgemm for cmd/bench, with clock.py before it: each line of JSON on standard input gives a size, and a line on standard output the seconds of one call."""
import array
import ctypes
import json
import random
import sys

lib = ctypes.CDLL("libopenblas.so.0")
lib.openblas_get_corename.restype = ctypes.c_char_p


def product(m, n, k):
    a, b, c = (array.array("f", [random.random()]) * length for length in (m * k, k * n, m * n))
    pointers = [(ctypes.c_float * len(v)).from_buffer(v) for v in (a, b, c)]
    integers = [ctypes.c_int(v) for v in (m, n, k)]
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    order, no = ctypes.c_int(101), ctypes.c_int(111)
    return lambda: lib.cblas_sgemm(order, no, no, *integers, one, pointers[0], integers[2], pointers[1], integers[1], zero, pointers[2], integers[1])


print(json.dumps({"Name": lib.openblas_get_corename().decode()}), flush=True)
for line in sys.stdin:
    q = json.loads(line)
    lib.openblas_set_num_threads(q["Threads"])
    print(json.dumps({"Seconds": clock(product(*q["Size"]), q["Seconds"], q["CPU"])}), flush=True)
