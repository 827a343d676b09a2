"""Writes ONNX's own backend node tests for the operators that ops has, one JSON object a line.

    python3 ops/testdata/onnx_cases.py > cases.jsonl      (needs onnx and numpy)

A line has the test's name, the operator, its version and attributes, and its inputs and outputs:
null for one that is left out, or type, shape and elements in order. The tests come from the
generator of the onnx package. Each of them is a model of one node; the models that the generator
makes again of other operators, whose names end in _expanded, are tests of those and left out.
"""

import json
import math
import sys
import warnings

import numpy as np
import onnx
from onnx import helper
from onnx.backend.test.loader import load_model_tests

OPERATORS = """
Abs Add AveragePool BatchNormalization Clip Concat Conv ConvTranspose Div Dropout Elu Exp Flatten
Gelu Gemm GlobalAveragePool GlobalMaxPool GroupNormalization HardSigmoid HardSwish Identity
InstanceNormalization LayerNormalization LeakyRelu Log LogSoftmax LpPool MatMul MaxPool MaxUnpool
Mean Mul Neg NegativeLogLikelihoodLoss PRelu Pad ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu Reshape Resize Sigmoid Slice Softmax
SoftmaxCrossEntropyLoss Softplus Sqrt Squeeze Sub Sum Swish Tanh Transpose Unsqueeze Upsample
""".split()


def number(v):
    if isinstance(v, (bool, np.bool_)):
        return int(v)
    if isinstance(v, (int, np.integer)):
        return int(v)
    v = float(v)
    return v if math.isfinite(v) else str(v)


def value(v):
    if v is None:
        return None
    if not isinstance(v, np.ndarray) and not np.isscalar(v):
        return {"type": type(v).__name__, "shape": [], "data": []}
    v = np.asarray(v)
    if v.dtype.kind not in "fiub" or v.dtype.itemsize == 2 and v.dtype.kind == "f":
        return {"type": str(v.dtype), "shape": list(v.shape), "data": []}
    return {"type": str(v.dtype), "shape": list(v.shape), "data": [number(x) for x in v.ravel()]}


def attribute(a):
    v = helper.get_attribute_value(a)
    if isinstance(v, bytes):
        v = v.decode()
    elif isinstance(v, (list, tuple)) or hasattr(v, "__len__"):
        v = [x.decode() if isinstance(x, bytes) else number(x) for x in v]
    else:
        v = number(v)
    return {"name": a.name, "type": a.type, "value": v}


def placed(names, values):
    """The values where the node has names: it has an empty one for what is left out."""
    values = iter(values)
    return [value(next(values)) if name else None for name in names]


def main():
    warnings.simplefilter("ignore")
    count = 0
    for test in sorted(load_model_tests(kind="node"), key=lambda t: t.name):
        nodes = test.model.graph.node
        if test.name.endswith("_expanded"):
            continue
        if len(nodes) != 1 or nodes[0].op_type not in OPERATORS or nodes[0].domain not in ("", "ai.onnx"):
            continue
        node, (inputs, outputs) = nodes[0], test.data_sets[0]
        json.dump({
            "name": test.name,
            "op": node.op_type,
            "version": test.model.opset_import[0].version,
            "attributes": [attribute(a) for a in node.attribute],
            "inputs": placed(node.input, inputs),
            "outputs": placed(node.output, outputs),
            "rtol": test.rtol,
            "atol": test.atol,
        }, sys.stdout, separators=(",", ":"))
        print()
        count += 1
    print(f"onnx {onnx.__version__}: {count} tests of {len(OPERATORS)} operators", file=sys.stderr)


main()
