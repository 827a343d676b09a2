"""Times PyTorch for internal/bench: one JSON argument says what, one JSON line gives the seconds."""
import json
import sys
import time

import torch

arg = json.loads(sys.argv[1])
aten = torch.ops.aten


def clock(f, now, pick):
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
    while len(times) < 5 or time.perf_counter() - begin < arg["seconds"]:
        start = now()
        for _ in range(calls):
            f()
        times.append((now() - start) / calls)
    times.sort()
    return times[int(len(times) * pick)]


def convolutions(now, pick, layout=torch.contiguous_format):
    rows = []
    for n, c, h, w, k, r, pad, stride, groups in arg["shapes"]:
        x = (torch.rand(n, c, h, w) * 2 - 1).contiguous(memory_format=layout)
        f = (torch.rand(k, c // groups, r, r) * 2 - 1).contiguous(memory_format=layout)
        y = torch.nn.functional.conv2d(x, f, None, stride, pad, 1, groups)
        dy = torch.rand(*y.shape).contiguous(memory_format=layout)
        back = lambda mask: aten.convolution_backward(
            dy, x, f, None, [stride, stride], [pad, pad], [1, 1], False, [0, 0], groups, mask)
        rows.append([
            clock(lambda: torch.nn.functional.conv2d(x, f, None, stride, pad, 1, groups), now, pick),
            clock(lambda: back([True, False, False]), now, pick),
            clock(lambda: back([False, True, False]), now, pick),
        ])
    return rows


def maps(now, pick):
    rows = []
    for size in arg["maps"]:
        x, dy = torch.rand(*size) * 2 - 1, torch.rand(*size)
        y, winner = aten.max_pool2d_with_indices(x, [2, 2], [2, 2])
        py = torch.rand(*y.shape)
        rows += [
            clock(lambda: torch.relu(x), now, pick),
            clock(lambda: aten.threshold_backward(dy, x, 0), now, pick),
            clock(lambda: aten.max_pool2d_with_indices(x, [2, 2], [2, 2]), now, pick),
            clock(lambda: aten.max_pool2d_with_indices_backward(py, x, [2, 2], [2, 2], [0, 0], [1, 1], False, winner), now, pick),
            clock(lambda: aten.avg_pool2d(x, [2, 2], [2, 2]), now, pick),
            clock(lambda: aten.avg_pool2d_backward(py, x, [2, 2], [2, 2], [0, 0], False, True, None), now, pick),
        ]
    return rows


def step(now, pick, layout):
    """A training step of Gorgonia's examples/convnet."""
    nn = torch.nn
    conv = lambda c, k: [nn.Conv2d(c, k, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(
        *conv(1, 32), nn.Dropout(0.2), *conv(32, 64), nn.Dropout(0.2), *conv(64, 128), nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(1152, 625, bias=False), nn.ReLU(), nn.Dropout(0.55), nn.Linear(625, 10, bias=False)).to(memory_format=layout)
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-4, foreach=True)
    x = (torch.rand(arg["batch"], 1, 28, 28) * 2 - 1).contiguous(memory_format=layout)
    labels = torch.randint(10, (arg["batch"],))

    def run():
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(net(x), labels).backward()
        optimizer.step()

    return clock(run, now, pick)


cpu, wall = (time.process_time, 0.5), (time.perf_counter, 0.1)
res = {"Version": torch.__version__}
torch.set_num_threads(1)
with torch.no_grad():
    res["One"], res["MapsOne"] = convolutions(*cpu), maps(*cpu)
res["StepOne"] = step(*wall, torch.contiguous_format)
torch.set_num_threads(arg["threads"])
with torch.no_grad():
    res["All"], res["MapsAll"] = convolutions(*wall), maps(*wall)
    res["Best"] = convolutions(*wall, torch.channels_last)
res["Step"] = step(*wall, torch.contiguous_format)
res["StepBest"] = step(*wall, torch.channels_last)
print(json.dumps(res))
