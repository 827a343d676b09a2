"""Writes torch_borders.json: what PyTorch makes of NaN, infinities, zeros of both signs, ties, single
elements, and numbers that are huge or denormal.

    python3 ops/testdata/torch_borders.py > ops/testdata/torch_borders.json

A case is {"op", "about", "type", "args", "in": [{"shape", "data"}...], "y", "d": [...]}, in the type
that it says, with the gradients for the cotangent 1, 2, 3, 1, 2, 3, ...; numbers that JSON has not
are strings. "labels" marks an input of integers.
"""
import json
import math
import sys

import torch
import torch.nn.functional as F

NAN, INF = math.nan, math.inf
FLOATS = {"float32": (torch.float32, 2.0**-149, 3.4028234663852886e38), "float64": (torch.float64, 5e-324, sys.float_info.max)}
CASES = []


def number(v):
    if math.isnan(v) or math.isinf(v):
        return str(v)
    return -0.0 if v == 0 and math.copysign(1, v) < 0 else v


def flat(t):
    return None if t is None else [number(v) for v in t.detach().double().reshape(-1).tolist()]


def case(op, about, f, inputs, labels=(), **args):
    for name, (dtype, tiny, huge) in FLOATS.items():
        ins, given = [], []
        for k, (shape, data) in enumerate(inputs):
            data = [{"tiny": tiny, "-tiny": -tiny, "huge": huge, "-huge": -huge}.get(v, v) for v in data]
            if k in labels:
                ins.append(torch.tensor(data, dtype=torch.int64).reshape(shape))
            else:
                ins.append(torch.tensor(data, dtype=dtype).reshape(shape).requires_grad_(True))
            given.append({"shape": list(shape), "data": [number(v) for v in ins[-1].detach().double().reshape(-1).tolist()]})
            if k in labels:
                given[-1]["labels"] = True
        y = f(*ins, **args)
        dy = torch.tensor([1.0 + i % 3 for i in range(y.numel())], dtype=dtype).reshape(y.shape)
        floats = [x for x in ins if x.requires_grad]
        grads = torch.autograd.grad(y, floats, dy, allow_unused=True)
        CASES.append({"op": op, "about": about, "type": name, "args": args, "in": given,
                      "y": {"shape": list(y.shape), "data": flat(y)}, "d": [flat(g) for g in grads]})


SPECIAL = [NAN, INF, -INF, -0.0, 0.0, "tiny", "-tiny", "huge", "-huge", 1e-30, -1e-30, 3.0, -3.0, 6.0, 0.5, -0.5]


def pairs(values):
    a = [x for x in values for _ in values]
    b = [x for _ in values for x in values]
    n = len(a)
    return [((n,), a), ((n,), b)]


def main():
    line = [((len(SPECIAL),), SPECIAL)]
    for op, f in {"relu": F.relu, "silu": F.silu, "gelu": F.gelu, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
                  "softplus": F.softplus, "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid, "relu6": F.relu6,
                  "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "square": torch.square, "abs": torch.abs,
                  "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}.items():
        case(op, "special numbers", f, line)
    case("leaky_relu", "special numbers", F.leaky_relu, line, negative_slope=0.125)
    case("elu", "special numbers", F.elu, line, alpha=1.5)
    case("clamp", "special numbers", lambda x, min, max: torch.clamp(x, min, max), line, min=-3.0, max=0.5)
    case("clamp", "limits that are crossed", lambda x, min, max: torch.clamp(x, min, max), line, min=1.0, max=-1.0)
    case("prelu", "special numbers", F.prelu, [((1, len(SPECIAL)), SPECIAL), ((1,), [0.25])])
    grid = pairs([NAN, INF, -INF, -0.0, 0.0, "tiny", "huge", 2.0])
    for op, f in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}.items():
        case(op, "each with each", f, grid)
    rows = {"a NaN": [NAN, 1.0, 2.0], "+∞": [INF, 1.0, 2.0], "two +∞": [INF, INF, 2.0], "−∞": [-INF, 1.0, 2.0], "nothing but −∞": [-INF, -INF, -INF],
            "zeros of both signs": [-0.0, 0.0, -0.0], "ties": [2.0, 2.0, 1.0], "huge": ["huge", "-huge", 1.0], "huge, twice": ["huge", "huge", 1.0], "denormal": ["tiny", "-tiny", "tiny"]}
    for about, row in rows.items():
        x = [((1, 3), row)]
        case("softmax", about, lambda x, axis: F.softmax(x, axis), x, axis=1)
        case("log_softmax", about, lambda x, axis: F.log_softmax(x, axis), x, axis=1)
        case("sum", about, lambda x, axes: torch.sum(x, axes), x, axes=[1])
        case("mean", about, lambda x, axes: torch.mean(x, axes), x, axes=[1])
        if "ties" not in about and "zeros" not in about and about not in ("two +∞", "nothing but −∞", "huge, twice", "denormal"):
            case("amax", about, lambda x, axes: torch.amax(x, axes), x, axes=[1])
        for label in range(2):
            case("cross_entropy", "%s, label %d" % (about, label), lambda x, t, ignore, reduction, smoothing: F.cross_entropy(
                x, t, ignore_index=ignore, reduction=reduction, label_smoothing=smoothing), x + [((1,), [label])], labels=(1,),
                ignore=-100, reduction="sum", smoothing=0.0)
            case("nll", "%s, label %d" % (about, label), lambda x, t, reduction: F.nll_loss(x, t, reduction=reduction), x + [((1,), [label])], labels=(1,), reduction="sum")
        case("max_pool2d", about, F.max_pool2d, [((1, 1, 1, 3), row)], kernel_size=[1, 3], stride=[1, 1], padding=[0, 0], dilation=[1, 1], ceil_mode=False)
        case("max_pool2d", about + ", windows that overlap", F.max_pool2d, [((1, 1, 1, 3), row)], kernel_size=[1, 2], stride=[1, 1], padding=[0, 1], dilation=[1, 1], ceil_mode=False)
        case("avg_pool2d", about, F.avg_pool2d, [((1, 1, 1, 3), row)], kernel_size=[1, 2], stride=[1, 1], padding=[0, 0], ceil_mode=False, count_include_pad=True, divisor_override=None)
        case("lp_pool2d", about, F.lp_pool2d, [((1, 1, 1, 3), row)], norm_type=2.0, kernel_size=[1, 3], stride=[1, 1], ceil_mode=False)
        case("adaptive_max_pool2d", about, F.adaptive_max_pool2d, [((1, 1, 1, 3), row)], output_size=[1, 2])
        case("batch_norm", about, lambda x, w, b, eps: F.batch_norm(x, None, None, w, b, training=True, eps=eps),
             [((3, 1), row), ((1,), [2.0]), ((1,), [0.5])], eps=1e-5)
        case("layer_norm", about, lambda x, w, b, axes, eps: F.layer_norm(x, x.shape[len(x.shape) - axes:], w, b, eps=eps),
             [((1, 3), row), ((3,), [2.0, 1.0, 1.0]), ((3,), [0.5, 0.0, 0.0])], axes=1, eps=1e-5)
        case("conv2d", about, lambda x, w, stride, padding, dilation, groups: F.conv2d(x, w, None, stride, padding, dilation, groups),
             [((1, 1, 1, 3), row), ((1, 1, 1, 2), [1.0, 0.0])], stride=[1, 1], padding=[0, 1], dilation=[1, 1], groups=1)
        case("conv_transpose2d", about, lambda x, w, stride, padding, output_padding, dilation, groups: F.conv_transpose2d(
            x, w, None, stride, padding, output_padding, groups, dilation), [((1, 1, 1, 3), row), ((1, 1, 1, 2), [1.0, 0.0])],
            stride=[1, 1], padding=[0, 0], output_padding=[0, 0], dilation=[1, 1], groups=1)
        case("matmul", about, torch.matmul, [((1, 3), row), ((3, 2), [1.0, 0.0, 0.0, 1.0, 1.0, 1.0])])
        case("upsample_nearest", about, lambda x, size: F.interpolate(x, size=size, mode="nearest"), [((1, 1, 1, 3), row)], size=[1, 5])
        case("upsample_bilinear", about, lambda x, size, align: F.interpolate(x, size=size, mode="bilinear", align_corners=align),
             [((1, 1, 1, 3), row)], size=[1, 5], align=False)
        case("pad", about, lambda x, pad, mode: F.pad(x, pad, mode=mode), [((1, 1, 1, 3), row)], pad=[1, 1, 0, 0], mode="replicate")
    loss = pairs([NAN, INF, -INF, -0.0, "tiny", "huge", 1.0])
    case("mse", "each with each", lambda x, t, reduction: F.mse_loss(x, t, reduction=reduction), loss, reduction="none")
    case("l1", "each with each", lambda x, t, reduction: F.l1_loss(x, t, reduction=reduction), loss, reduction="none")
    case("huber", "each with each", lambda x, t, reduction, delta: F.huber_loss(x, t, reduction=reduction, delta=delta), loss, reduction="none", delta=0.75)
    n = len(SPECIAL)
    for target in (0.0, 1.0, 0.25):
        case("bce_with_logits", "special logits, target %g" % target, lambda x, t, reduction: F.binary_cross_entropy_with_logits(x, t, reduction=reduction),
             [((n,), SPECIAL), ((n,), [target] * n)], reduction="none")
    one = [((1, 1, 1, 1), [3.0])]
    case("max_pool2d", "one pixel", F.max_pool2d, one, kernel_size=[1, 1], stride=[1, 1], padding=[0, 0], dilation=[1, 1], ceil_mode=False)
    case("avg_pool2d", "one pixel, padded", F.avg_pool2d, one, kernel_size=[3, 3], stride=[1, 1], padding=[1, 1], ceil_mode=False, count_include_pad=False, divisor_override=None)
    case("softmax", "one element", lambda x, axis: F.softmax(x, axis), [((2, 1), [3.0, -1.0])], axis=1)
    case("log_softmax", "one element", lambda x, axis: F.log_softmax(x, axis), [((2, 1), [3.0, -1.0])], axis=1)
    case("layer_norm", "one element", lambda x, w, b, axes, eps: F.layer_norm(x, (1,), w, b, eps=eps), [((2, 1), [3.0, -1.0]), ((1,), [2.0]), ((1,), [0.5])], axes=1, eps=1e-5)
    case("adaptive_avg_pool2d", "one pixel", F.adaptive_avg_pool2d, one, output_size=[1, 1])
    case("upsample_bilinear", "one pixel", lambda x, size, align: F.interpolate(x, size=size, mode="bilinear", align_corners=align), one, size=[2, 3], align=True)
    for op, f, x, args in [("relu", F.relu, (0, 2), {}), ("sum", lambda x, axes: torch.sum(x, axes), (0, 2), dict(axes=[0])), ("mean", lambda x, axes: torch.mean(x, axes), (0, 2), dict(axes=[0])),
                           ("softmax", lambda x, axis: F.softmax(x, axis), (0, 3), dict(axis=1)),
                           ("avg_pool2d", F.avg_pool2d, (0, 1, 2, 2), dict(kernel_size=[2, 2], stride=[2, 2], padding=[0, 0], ceil_mode=False, count_include_pad=True, divisor_override=None))]:
        case(op, "an empty batch", f, [(x, [])], **args)
    case("conv2d", "an empty batch", lambda x, w, stride, padding, dilation, groups: F.conv2d(x, w, None, stride, padding, dilation, groups),
         [((0, 1, 2, 2), []), ((1, 1, 2, 2), [1.0, 2.0, 3.0, 4.0])], stride=[1, 1], padding=[0, 0], dilation=[1, 1], groups=1)
    print("[" + ",\n".join(json.dumps(c, separators=(",", ":"), ensure_ascii=False) for c in CASES) + "]")


main()
