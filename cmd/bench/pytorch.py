"""Times PyTorch for cmd/bench, with clock.py before it.

Each line of JSON on standard input says what to time. The answer is the seconds of one call."""
import ctypes

try:
    import torch
except Exception as why:  # not installed, or built for another processor or Python
    missing(why)

aten = torch.ops.aten
cache = {}  # what was made for the last size, which comes again and again


def layout(channels_last):
    return torch.channels_last if channels_last else torch.contiguous_format


def convolution(shape, channels_last):
    n, c, h, w, k, r, pad, stride, groups = shape
    x = (torch.rand(n, c, h, w) * 2 - 1).contiguous(memory_format=layout(channels_last))
    f = (torch.rand(k, c // groups, r, r) * 2 - 1).contiguous(memory_format=layout(channels_last))
    y = torch.nn.functional.conv2d(x, f, None, stride, pad, 1, groups)
    dy = torch.rand(*y.shape).contiguous(memory_format=layout(channels_last))
    back = lambda mask: aten.convolution_backward(
        dy, x, f, None, [stride, stride], [pad, pad], [1, 1], False, [0, 0], groups, mask)
    return [
        lambda: torch.nn.functional.conv2d(x, f, None, stride, pad, 1, groups),
        lambda: back([True, False, False]),
        lambda: back([False, True, False]),
    ]


def maps(size):
    x, dy = torch.rand(*size) * 2 - 1, torch.rand(*size)
    y, winner = aten.max_pool2d_with_indices(x, [2, 2], [2, 2])
    py = torch.rand(*y.shape)
    return [
        lambda: torch.relu(x),
        lambda: aten.threshold_backward(dy, x, 0),
        lambda: aten.max_pool2d_with_indices(x, [2, 2], [2, 2]),
        lambda: aten.max_pool2d_with_indices_backward(
            py, x, [2, 2], [2, 2], [0, 0], [1, 1], False, winner),
        lambda: aten.avg_pool2d(x, [2, 2], [2, 2]),
        lambda: aten.avg_pool2d_backward(py, x, [2, 2], [2, 2], [0, 0], False, True, None),
    ]


def step(batch, channels_last):
    """A training step of Gorgonia's examples/convnet."""
    nn = torch.nn
    conv = lambda c, k: [nn.Conv2d(c, k, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(
        *conv(1, 32), nn.Dropout(0.2), *conv(32, 64), nn.Dropout(0.2), *conv(64, 128),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(1152, 625, bias=False), nn.ReLU(),
        nn.Dropout(0.55), nn.Linear(625, 10, bias=False)).to(memory_format=layout(channels_last))
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-4, foreach=True)
    x = (torch.rand(batch, 1, 28, 28) * 2 - 1).contiguous(memory_format=layout(channels_last))
    labels = torch.randint(10, (batch,))

    def run():
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(net(x), labels).backward()
        optimizer.step()

    return [run]


def op(expression, operands):
    """An expression of one of PyTorch's functions, without and with its gradients."""
    names, leaves = {"torch": torch, "F": torch.nn.functional}, []
    for o in operands:
        t = torch.rand(o["Shape"]) * 0.9 + 0.05
        if not o["Integer"]:
            leaves.append(t.requires_grad_(True))
        names[o["Name"]] = torch.zeros(o["Shape"], dtype=torch.int64) if o["Integer"] else t
    code = compile(expression, "op", "eval")
    dy = torch.rand(eval(code, names).shape)

    def forward():
        with torch.no_grad():
            eval(code, names)

    def training():
        with torch.enable_grad():
            torch.autograd.grad(eval(code, names), leaves, dy)

    return [forward, training]


try:  # OpenBLAS, if it makes PyTorch's matrix products, has a number of threads of its own
    set_blas_threads = ctypes.CDLL("libblas.so.3").openblas_set_num_threads
except (OSError, AttributeError):
    set_blas_threads = lambda n: None
introduce(torch.__version__)
for line in sys.stdin:
    q = json.loads(line)
    torch.set_num_threads(q["Threads"])
    set_blas_threads(q["Threads"])
    torch.set_grad_enabled(q["What"] == "step")
    size, last = q["Size"] or [q.get("Expression"), q.get("Operands")], q["ChannelsLast"]
    if cache.get("size") != (q["What"], size):
        cache = {"size": (q["What"], size)}
    if last not in cache:
        make = {"convolution": lambda: convolution(size, last), "map": lambda: maps(size),
                "step": lambda: step(size[0], last), "op": lambda: op(*size)}
        cache[last] = make[q["What"]]()
    say(Seconds=clock(cache[last][q["Which"]], q["Seconds"], q["CPU"]))
