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


def op(expression, operands, channels_last):
    """An expression of one of PyTorch's functions, without and with its gradients."""
    names, leaves = {"torch": torch, "F": torch.nn.functional}, []
    for o in operands:
        t = torch.rand(o["Shape"]) * 0.9 + 0.05
        if channels_last and t.dim() == 4:
            t = t.contiguous(memory_format=torch.channels_last)
        if not o["Integer"]:
            leaves.append(t.requires_grad_(True))
        names[o["Name"]] = torch.zeros(o["Shape"], dtype=torch.int64) if o["Integer"] else t
    code = compile(expression, "op", "eval")
    dy = torch.rand_like(eval(code, names))

    def forward():
        with torch.no_grad():
            eval(code, names)

    def training():
        with torch.enable_grad():
            torch.autograd.grad(eval(code, names), leaves, dy)

    return [forward, training]


def resnet20(num_classes):
    """He et al.'s network for CIFAR, with shortcuts without weights."""
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, c, k, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(c, k, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(k)
            self.conv2 = nn.Conv2d(k, k, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(k)
            self.stride, self.more = stride, (k - c) // 2

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            if self.stride > 1:
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
            return F.relu(x + y)

    layers, c = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for k in (16, 32, 64):
        for i in range(3):
            layers.append(Block(c, k, 2 if i == 0 and k > 16 else 1))
            c = k
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))


def network(what, size):
    """A training step, or the evaluation of a batch, as what says: network, training or
    evaluation, and how it runs."""
    name, task, how = what.split()
    batch, side, classes = size
    if name == "resnet20":
        make = resnet20
    else:
        import torchvision
        make = getattr(torchvision.models, name)
    fmt = layout(how in ("last", "compiled"))
    x = (torch.rand(batch, 3, side, side) * 2 - 1).contiguous(memory_format=fmt)
    labels = torch.randint(classes, (batch,))
    net = make(num_classes=classes).to(memory_format=fmt).train(task == "training")
    if how == "onnxruntime":
        import io
        import onnxruntime
        file = io.BytesIO()
        torch.onnx.export(net, (x,), file, dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(
            file.getvalue(), options, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: x.numpy()}
        return [lambda: session.run(None, feed)]
    run = torch.compile(net) if how == "compiled" else net
    if task == "evaluation":
        def evaluate():
            with torch.no_grad():
                run(x)

        return [evaluate]
    optimizer = torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=1e-4, foreach=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(run(x), labels).backward()
        optimizer.step()

    return [step]


networks = {}  # kept, since to compile one takes a minute


try:  # OpenBLAS, if it makes PyTorch's matrix products, has a number of threads of its own
    set_blas_threads = ctypes.CDLL("libblas.so.3").openblas_set_num_threads
except (OSError, AttributeError):
    set_blas_threads = lambda n: None
introduce(torch.__version__)
for line in sys.stdin:
    q = json.loads(line)
    torch.set_num_threads(q["Threads"])
    set_blas_threads(q["Threads"])
    torch.set_grad_enabled(q["What"] in ("step", "network"))
    if q["What"] == "network":
        key = (q["Expression"], tuple(q["Size"]))
        try:  # a package or a compiler may be missing
            if key not in networks:
                networks.clear() if len(networks) > 3 else None
                networks[key] = network(q["Expression"], q["Size"])
            say(Seconds=clock(networks[key][0], q["Seconds"], q["CPU"]))
        except Exception as why:
            say(Missing=f"{type(why).__name__}: {why}".splitlines()[0])
        continue
    size, last = q["Size"] or [q.get("Expression"), q.get("Operands")], q["ChannelsLast"]
    if cache.get("size") != (q["What"], size):
        cache = {"size": (q["What"], size)}
    if last not in cache:
        make = {"convolution": lambda: convolution(size, last), "map": lambda: maps(size),
                "step": lambda: step(size[0], last), "op": lambda: op(*size, last)}
        cache[last] = make[q["What"]]()
    say(Seconds=clock(cache[last][q["Which"]], q["Seconds"], q["CPU"]))
