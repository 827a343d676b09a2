"""Writes torch_cases.json: what PyTorch makes of random cases of each op, with first and second derivatives.

    python3 torch_cases.py > torch_cases.json

Inputs, cotangents and directions come from a formula (see values), so only a few numbers of each
result are stored: its shape and its inner products with three vectors of the same formula. A wrong
element changes each of them. Everything is computed in float64. A case is

    {"op": ..., "args": {...}, "in": [{"shape", "kind", "seed"}...], "out": [...]}

where out holds y; d0, d1, ... the gradients by the inputs for a cotangent dy; and s0, s1, ..., sdy
the gradients of sum_i <d_i, v_i> by the inputs and by dy. What has no such gradient is null.
"""
import json
import math
import random

import torch
import torch.nn.functional as F

MASK = (1 << 64) - 1


def uniform(seed, i):
    """The i-th number of a stream in (-1, 1): SplitMix64's finaliser of seed and index."""
    z = (seed * 0x9E3779B97F4A7C15 + (i + 1) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    z ^= z >> 31
    return ((z >> 40) + 0.5) / (1 << 23) - 1  # 24 bits, so that float32 holds them too


def values(shape, seed, kind="float"):
    n = math.prod(shape)
    if kind == "float":
        v = [uniform(seed, i) for i in range(n)]
    elif kind == "wide":  # activations at work on both sides of their bends
        v = [4 * uniform(seed, i) for i in range(n)]
    elif kind == "positive":
        v = [1.25 + uniform(seed, i) for i in range(n)]
    elif kind == "distinct":  # a permutation: maxima without ties
        order = sorted(range(n), key=lambda i: uniform(seed, i))
        v = [0.0] * n
        for rank, i in enumerate(order):
            v[i] = (rank - n / 2 + 0.25) / 8
    elif kind == "probabilities":  # positive; the caller's op does not need them to add up to 1
        v = [(1.1 + uniform(seed, i)) / 4 for i in range(n)]
    elif kind.startswith("labels"):
        c = int(kind[6:])
        return torch.tensor([int((uniform(seed, i) + 1) / 2 * c) for i in range(n)], dtype=torch.int64).reshape(shape)
    else:
        raise ValueError(kind)
    return torch.tensor(v, dtype=torch.float64).reshape(shape)


def digest(t):
    if t is None:
        return None
    flat = t.detach().reshape(-1)
    return {"shape": list(t.shape), "dots": [float((flat * values(flat.shape, 900 + k)).sum()) for k in range(3)],
            "size": float(flat.abs().sum())}


def run(op, f, args, inputs):
    xs = [values(i["shape"], i["seed"], i["kind"]) for i in inputs]
    for x in xs:
        if x.is_floating_point():
            x.requires_grad_(True)
    floats = [x for x in xs if x.requires_grad]
    y = f(*xs, **args)
    dy = values(y.shape, 700).requires_grad_(True)
    out = {"y": digest(y)}
    grads = torch.autograd.grad(y, floats, dy, create_graph=True, allow_unused=True)
    second = 0
    for k, g in enumerate(grads):
        out["d%d" % k] = digest(g)
        if g is not None:
            second = second + (g * values(g.shape, 800 + k)).sum()
    if getattr(second, "requires_grad", False):
        try:
            seconds = torch.autograd.grad(second, floats + [dy], allow_unused=True)
        except RuntimeError as e:
            if "is not implemented" not in str(e):
                raise
            seconds = []  # PyTorch has no second derivative of this op
        for k, g in enumerate(seconds):
            out["s%d" % k if k < len(floats) else "sdy"] = digest(g)
    return {"op": op, "args": {k: v for k, v in args.items()}, "in": inputs, "out": out}


def tensor(seed, *shape, kind="float"):
    return {"shape": list(shape), "kind": kind, "seed": seed}


CASES = []


def case(op, f, inputs, **args):
    try:
        CASES.append(run(op, f, args, inputs))
    except RuntimeError as e:
        if not any(s in str(e) for s in ("output size", "too small", "Kernel size", "be smaller")):
            raise  # only a drawn geometry that PyTorch refuses is left out


def conv(x, w, *b, stride, padding, dilation, groups):
    return F.conv2d(x, w, *(b or [None]), stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv_transpose(x, w, *b, stride, padding, output_padding, dilation, groups):
    return F.conv_transpose2d(x, w, *(b or [None]), stride=stride, padding=padding, output_padding=output_padding, groups=groups, dilation=dilation)


def conv1d(x, w, *b, stride, padding, dilation, groups):
    return F.conv1d(x, w, *(b or [None]), stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv_transpose1d(x, w, *b, stride, padding, output_padding, dilation, groups):
    return F.conv_transpose1d(x, w, *(b or [None]), stride=stride, padding=padding, output_padding=output_padding, groups=groups, dilation=dilation)


def main():
    r = random.Random(20161125)
    seed = iter(range(1, 10**6))
    for i in range(40):
        g, c, k = r.choice([1, 1, 2, 3]), r.randint(1, 3), r.randint(1, 3)
        args = dict(stride=[r.randint(1, 3), r.randint(1, 2)], padding=[r.randint(0, 2), r.randint(0, 3)],
                    dilation=[r.randint(1, 2), r.randint(1, 3)], groups=g)
        inputs = [tensor(next(seed), r.randint(1, 3), g * c, r.randint(5, 8), r.randint(5, 9)),
                  tensor(next(seed), g * k, c, r.randint(1, 3), r.randint(1, 3))]
        if r.random() < 0.5:
            inputs.append(tensor(next(seed), g * k))
        case("conv2d", conv, inputs, **args)
    for i in range(40):
        g, c, k = r.choice([1, 1, 2, 3]), r.randint(1, 3), r.randint(1, 3)
        stride, dilation = [r.randint(1, 3), r.randint(1, 3)], [r.randint(1, 3), r.randint(1, 2)]
        args = dict(stride=stride, padding=[r.randint(0, 2), r.randint(0, 2)],
                    output_padding=[r.randrange(max(stride[j], dilation[j])) for j in range(2)], dilation=dilation, groups=g)
        inputs = [tensor(next(seed), r.randint(1, 2), g * c, r.randint(3, 5), r.randint(3, 6)),
                  tensor(next(seed), g * c, k, r.randint(1, 3), r.randint(1, 3))]
        if r.random() < 0.5:
            inputs.append(tensor(next(seed), g * k))
        case("conv_transpose2d", conv_transpose, inputs, **args)
    for i in range(12):
        g, c, k = r.choice([1, 2]), r.randint(1, 3), r.randint(1, 3)
        stride, dilation = r.randint(1, 3), r.randint(1, 2)
        inputs = [tensor(next(seed), 2, g * c, r.randint(6, 11)), tensor(next(seed), g * k, c, r.randint(1, 4)), tensor(next(seed), g * k)]
        case("conv1d", conv1d, inputs, stride=stride, padding=r.randint(0, 3), dilation=dilation, groups=g)
        inputs = [tensor(next(seed), 2, g * c, r.randint(3, 7)), tensor(next(seed), g * c, k, r.randint(1, 4)), tensor(next(seed), g * k)]
        case("conv_transpose1d", conv_transpose1d, inputs, stride=stride, padding=r.randint(0, 2),
             output_padding=r.randrange(max(stride, dilation)), dilation=dilation, groups=g)
    for i in range(20):
        k = [r.randint(2, 4), r.randint(2, 4)]
        args = dict(kernel_size=k, stride=[r.randint(1, 3), r.randint(1, 3)], padding=[r.randint(0, k[0] // 2), r.randint(0, k[1] // 2)],
                    ceil_mode=r.random() < 0.5)
        x = tensor(next(seed), 2, 2, r.randint(6, 9), r.randint(6, 10), kind="distinct")
        case("max_pool2d", F.max_pool2d, [x], dilation=[r.randint(1, 2), r.randint(1, 2)], **args)
        x = tensor(next(seed), 2, 2, r.randint(5, 9), r.randint(5, 10))
        case("avg_pool2d", F.avg_pool2d, [x], count_include_pad=r.random() < 0.5, divisor_override=r.choice([None, None, 3]), **args)
        x = tensor(next(seed), 2, 2, r.randint(5, 9), r.randint(5, 10))
        # Without ceil_mode: PyTorch scales the sum of a window that is cut off up to a whole one. It
        # takes powers without absolute values, so x is positive.
        case("lp_pool2d", F.lp_pool2d, [dict(x, kind="positive")], norm_type=r.choice([1.0, 2.0, 3.0, 2.5]), kernel_size=k, stride=args["stride"], ceil_mode=False)
        case("adaptive_avg_pool2d", F.adaptive_avg_pool2d, [tensor(next(seed), 2, 2, r.randint(3, 9), r.randint(3, 9))], output_size=[r.randint(1, 5), r.randint(1, 5)])
        case("adaptive_max_pool2d", F.adaptive_max_pool2d, [tensor(next(seed), 2, 2, r.randint(3, 9), r.randint(3, 9), kind="distinct")], output_size=[r.randint(1, 5), r.randint(1, 5)])
    for i in range(4):
        k = r.randint(2, 3)
        a = dict(kernel_size=k, stride=r.randint(1, 3), padding=r.randint(0, k // 2), ceil_mode=bool(i % 2))
        case("max_pool1d", F.max_pool1d, [tensor(next(seed), 2, 3, r.randint(6, 9), kind="distinct")], dilation=r.randint(1, 2), **a)
        case("avg_pool1d", F.avg_pool1d, [tensor(next(seed), 2, 3, r.randint(6, 9))], count_include_pad=i < 2, **a)
    elementwise = {
        "relu": F.relu, "silu": F.silu, "gelu": F.gelu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "softplus": F.softplus,
        "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid, "relu6": F.relu6, "exp": torch.exp, "square": torch.square, "abs": torch.abs,
    }
    shapes = [(3, 4), (2, 3, 4, 5), (7,), (2, 3, 5)]
    for name, f in elementwise.items():
        for shape in shapes:
            case(name, f, [tensor(next(seed), *shape, kind="wide")])
    for shape in shapes:
        case("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), [tensor(next(seed), *shape, kind="wide")])
        case("leaky_relu", F.leaky_relu, [tensor(next(seed), *shape, kind="wide")], negative_slope=0.125)
        case("elu", F.elu, [tensor(next(seed), *shape, kind="wide")], alpha=1.5)
        case("clamp", lambda x, min, max: torch.clamp(x, min, max), [tensor(next(seed), *shape, kind="wide")], min=-1.25, max=2.0)
        case("log", torch.log, [tensor(next(seed), *shape, kind="positive")])
        case("sqrt", torch.sqrt, [tensor(next(seed), *shape, kind="positive")])
        for axis in range(len(shape)):
            case("softmax", lambda x, axis: F.softmax(x, axis), [tensor(next(seed), *shape, kind="wide")], axis=axis)
            case("log_softmax", lambda x, axis: F.log_softmax(x, axis), [tensor(next(seed), *shape, kind="wide")], axis=axis)
    for shape in [(4, 3), (2, 3, 4), (2, 3, 3, 4)]:
        c = shape[1]
        case("prelu", F.prelu, [tensor(next(seed), *shape, kind="wide"), tensor(next(seed), c)])
        case("prelu", F.prelu, [tensor(next(seed), *shape, kind="wide"), tensor(next(seed), 1)])
        for eps in (1e-5, 1e-2):
            case("batch_norm", lambda x, w, b, eps: F.batch_norm(x, None, None, w, b, training=True, eps=eps),
                 [tensor(next(seed), *shape), tensor(next(seed), c), tensor(next(seed), c)], eps=eps)
            case("batch_norm_eval", lambda x, w, b, m, v, eps: F.batch_norm(x, m.detach(), v.detach(), w, b, training=False, eps=eps),
                 [tensor(next(seed), *shape), tensor(next(seed), c), tensor(next(seed), c), tensor(next(seed), c), tensor(next(seed), c, kind="positive")], eps=eps)
            for last in range(1, len(shape)):
                case("layer_norm", lambda x, w, b, axes, eps: F.layer_norm(x, x.shape[len(x.shape) - axes:], w, b, eps=eps),
                     [tensor(next(seed), *shape), tensor(next(seed), *shape[-last:]), tensor(next(seed), *shape[-last:])], axes=last, eps=eps)
    for shape, groups in [((2, 6, 3), 3), ((3, 4, 2, 3), 2), ((2, 4, 3, 3), 4), ((2, 4, 5), 1)]:
        case("group_norm", lambda x, w, b, groups, eps: F.group_norm(x, groups, w, b, eps=eps),
             [tensor(next(seed), *shape), tensor(next(seed), shape[1]), tensor(next(seed), shape[1])], groups=groups, eps=1e-5)
    for shape in [(5, 4), (3, 4, 5), (2, 3, 3, 4)]:
        c, rest = shape[1], (shape[0],) + shape[2:]
        for reduction in ("none", "sum", "mean"):
            for smoothing in (0.0, 0.1):
                for weighted in (False, True):
                    w = [tensor(next(seed), c, kind="positive")] if weighted else []
                    def ce(x, t, *w, reduction, smoothing, ignore):
                        return F.cross_entropy(x, t, weight=w[0].detach() if w else None, ignore_index=ignore, reduction=reduction, label_smoothing=smoothing)
                    case("cross_entropy", ce, [tensor(next(seed), *shape, kind="wide"), tensor(next(seed), *rest, kind="labels%d" % c)] + w,
                         reduction=reduction, smoothing=smoothing, ignore=r.choice([-100, 1]))
                    case("cross_entropy_probabilities",
                         lambda x, t, *w, reduction, smoothing: F.cross_entropy(x, t.detach(), weight=w[0].detach() if w else None, reduction=reduction, label_smoothing=smoothing),
                         [tensor(next(seed), *shape, kind="wide"), tensor(next(seed), *shape, kind="probabilities")] + w, reduction=reduction, smoothing=smoothing)
            two = lambda: [tensor(next(seed), *shape, kind="wide"), tensor(next(seed), *shape)]
            case("mse", lambda x, t, reduction: F.mse_loss(x, t, reduction=reduction), two(), reduction=reduction)
            case("l1", lambda x, t, reduction: F.l1_loss(x, t, reduction=reduction), two(), reduction=reduction)
            case("huber", lambda x, t, reduction, delta: F.huber_loss(x, t, reduction=reduction, delta=delta), two(), reduction=reduction, delta=0.75)
            case("bce_with_logits", lambda x, t, reduction: F.binary_cross_entropy_with_logits(x, t, reduction=reduction),
                 [tensor(next(seed), *shape, kind="wide"), tensor(next(seed), *shape, kind="probabilities")], reduction=reduction)
    for a, b in [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1, 4), (3, 1)), ((1,), (2, 2)), ((2, 3, 1, 2), (1, 3, 4, 1))]:
        for name, f in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}.items():
            case(name, f, [tensor(next(seed), *a), tensor(next(seed), *b, kind="positive")])
    for shape, axes in [((2, 3), [0]), ((2, 3), [1]), ((2, 3, 4), [0, 2]), ((2, 3, 2, 2), [2, 3]), ((2, 3, 4), [0, 1, 2])]:
        case("sum", lambda x, axes: torch.sum(x, axes), [tensor(next(seed), *shape)], axes=axes)
        case("mean", lambda x, axes: torch.mean(x, axes), [tensor(next(seed), *shape)], axes=axes)
        case("amax", lambda x, axes: torch.amax(x, axes), [tensor(next(seed), *shape, kind="distinct")], axes=axes)
    for a, b in [((2, 3), (3, 4)), ((2, 2, 3), (2, 3, 2)), ((3, 1, 2, 3), (2, 3, 2))]:
        case("matmul", torch.matmul, [tensor(next(seed), *a), tensor(next(seed), *b)])
    case("linear", F.linear, [tensor(next(seed), 3, 4), tensor(next(seed), 5, 4), tensor(next(seed), 5)])
    case("linear", F.linear, [tensor(next(seed), 2, 3, 4), tensor(next(seed), 5, 4), tensor(next(seed), 5)])
    for mode in ("constant", "reflect", "replicate"):
        for pad in ([1, 2, 0, 1], [2, 0, 1, 2], [0, 0, 0, 3]):
            case("pad", lambda x, pad, mode: F.pad(x, pad, mode=mode), [tensor(next(seed), 2, 2, 4, 5)], pad=pad, mode=mode)
    for size in ([6, 8], [3, 4], [5, 3], [7, 9], [8, 10]):
        x = tensor(next(seed), 2, 2, 4, 5)
        case("upsample_nearest", lambda x, size: F.interpolate(x, size=size, mode="nearest"), [x], size=size)
        for align in (False, True):
            case("upsample_bilinear", lambda x, size, align: F.interpolate(x, size=size, mode="bilinear", align_corners=align), [x], size=size, align=align)
    for shape, perm in [((2, 3), [1, 0]), ((2, 3, 4), [2, 0, 1]), ((2, 3, 2, 4), [0, 2, 3, 1])]:
        case("transpose", lambda x, perm: x.permute(perm), [tensor(next(seed), *shape)], perm=perm)
    for axis in range(3):
        case("concat", lambda a, b, c, axis: torch.cat([a, b, c], axis),
             [tensor(next(seed), *[n + 2 if k == axis else n for k, n in enumerate((2, 3, 2))]), tensor(next(seed), 2, 3, 2), tensor(next(seed), 2, 3, 2)], axis=axis)
    for axis, start, end, step in [(0, 1, 4, 1), (1, 0, 5, 2), (2, 1, 6, 3)]:
        index = lambda x, axis, start, end, step: x[tuple([slice(None)] * axis + [slice(start, end, step)])]
        case("slice", index, [tensor(next(seed), 5, 6, 7)], axis=axis, start=start, end=end, step=step)
    print("[")
    print(",\n".join(json.dumps(c, separators=(",", ":")) for c in CASES))
    print("]")


if __name__ == "__main__":
    main()
