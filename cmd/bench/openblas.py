"""Times OpenBLAS's sgemm for cmd/bench, with clock.py before it.

Each line of JSON on standard input gives a size. The answer is the seconds of one call.
The library is the system's, or the one that numpy's wheel brings."""
import array
import ctypes
import glob
import os
import random


def load():
    """The library, the prefix and suffix of its names, and its integers."""
    try:
        return ctypes.CDLL("libopenblas.so.0"), "%s", ctypes.c_int
    except OSError as why:
        reason = why
    try:
        import numpy
    except ImportError:
        missing(reason)
    site = os.path.dirname(os.path.dirname(numpy.__file__))
    for path in glob.glob(os.path.join(site, "numpy.libs", "libscipy_openblas64_*.so")):
        return ctypes.CDLL(path), "scipy_%s64_", ctypes.c_int64
    missing(reason)


lib, names, integer = load()
sgemm = getattr(lib, names % "cblas_sgemm")
set_threads = getattr(lib, names % "openblas_set_num_threads")
core = getattr(lib, names % "openblas_get_corename")
core.restype = ctypes.c_char_p


def product(m, n, k):
    a, b, c = (array.array("f", [random.random()]) * length for length in (m * k, k * n, m * n))
    pa, pb, pc = [(ctypes.c_float * len(v)).from_buffer(v) for v in (a, b, c)]
    m, n, k = integer(m), integer(n), integer(k)
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    order, no = ctypes.c_int(101), ctypes.c_int(111)
    return lambda: sgemm(order, no, no, m, n, k, one, pa, k, pb, n, zero, pc, n)


introduce(core().decode())
for line in sys.stdin:
    q = json.loads(line)
    set_threads(q["Threads"])
    say(Seconds=clock(product(*q["Size"]), q["Seconds"], q["CPU"]))
