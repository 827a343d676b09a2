"""Times PyTorch's convolutions, for internal/bench: one JSON argument with the shapes, one JSON line with the seconds."""
import json
import sys
import time

import torch

arg = json.loads(sys.argv[1])


def clock(f, now, pick):
    f()
    times = []
    begin = time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begin < (0.03 if arg["quick"] else 0.2):
        start = now()
        f()
        times.append(now() - start)
    times.sort()
    return times[int(len(times) * pick)]


def measure(now, pick):
    rows = []
    for n, c, h, w, k, r, pad, stride, groups in arg["shapes"]:
        x, f = torch.rand(n, c, h, w) * 2 - 1, torch.rand(k, c // groups, r, r) * 2 - 1
        y = torch.nn.functional.conv2d(x, f, None, stride, pad, 1, groups)
        dy = torch.rand_like(y)
        back = lambda mask: torch.ops.aten.convolution_backward(
            dy, x, f, None, [stride, stride], [pad, pad], [1, 1], False, [0, 0], groups, mask)
        with torch.no_grad():
            rows.append([
                clock(lambda: torch.nn.functional.conv2d(x, f, None, stride, pad, 1, groups), now, pick),
                clock(lambda: back([True, False, False]), now, pick),
                clock(lambda: back([False, True, False]), now, pick),
            ])
    return rows


torch.set_num_threads(1)
one = measure(time.process_time, 0.5)
torch.set_num_threads(arg["threads"])
both = measure(time.perf_counter, 0.1)
print(json.dumps({"Version": torch.__version__, "One": one, "All": both}))
