"""Checks ONNX files beside onnx, onnxruntime and torch.onnx, for TestONNXPeers.

    onnx_peers.py check DIR            for each DIR/*.onnx: full check; the output for DIR/*.onnx.x to .y
    onnx_peers.py export DIR NAME...   torchvision's networks by torch.onnx, with inputs and outputs
"""
import glob, importlib.util, sys, warnings
import numpy as np, onnx, onnxruntime

onnxruntime.set_default_logger_severity(3)


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def check(directory):
    for path in sorted(glob.glob(directory + "/*.onnx")):
        onnx.checker.check_model(path, full_check=True)
        s = session(path)
        i = s.get_inputs()[0]
        assert i.shape[0] == "N", i.shape
        x = np.fromfile(path + ".x", "<f4").reshape([-1] + i.shape[1:])
        y = s.run(None, {i.name: x})[0]
        assert list(y.shape[1:]) == s.get_outputs()[0].shape[1:], y.shape
        y.astype("<f4").tofile(path + ".y")


def export(directory, names):
    warnings.filterwarnings("ignore")
    import torch, torchvision
    torch.manual_seed(1)
    for name in names:
        m = getattr(torchvision.models, name)(num_classes=10).eval()
        for b in m.modules():
            if isinstance(b, torch.nn.BatchNorm2d):
                b.running_mean.uniform_(-0.1, 0.1)
                b.running_var.uniform_(0.5, 1.5)
                torch.nn.init.uniform_(b.weight, 0.5, 1.5)
                torch.nn.init.uniform_(b.bias, -0.5, 0.5)
        side = 224 if name.startswith("vgg") else 64
        x = torch.randn(2, 3, side, side)
        kinds = {
            # the TorchScript exporter: batch norms folded, batch norms kept, and an old opset
            "script": lambda f: torch.onnx.export(m, x, f, dynamo=False, opset_version=17, input_names=["x"], dynamic_axes={"x": {0: "N"}}),
            "kept": lambda f: torch.onnx.export(m, x, f, dynamo=False, opset_version=13, input_names=["x"], dynamic_axes={"x": {0: "N"}},
                                                training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False),
            "old": lambda f: torch.onnx.export(m, x, f, dynamo=False, opset_version=9),
            # the one of today, and with a batch that is fixed
            "dynamo": lambda f: torch.onnx.export(m, (x,), f, dynamo=True, external_data=False, verbose=False,
                                                  dynamic_shapes=({0: torch.export.Dim("N")},)),
            # its usual way: numbers in a file beside it
            "fixed": lambda f: torch.onnx.export(m, (x,), f, dynamo=True, verbose=False),
        }
        if name.startswith("vgg"):  # half a gigabyte each: one file of each exporter
            kinds = {k: kinds[k] for k in (("script",) if name.endswith("bn") else ("script", "fixed"))}
        elif name != "resnet18":  # one network shows all ways
            kinds = {k: kinds[k] for k in ("kept", "dynamo")}
        if importlib.util.find_spec("onnxscript") is None:  # which today's exporter needs
            kinds = {k: v for k, v in kinds.items() if k not in ("dynamo", "fixed")}
        for kind, write in kinds.items():
            path = "%s/%s.%s.onnx" % (directory, name, kind)
            write(path)
            s = session(path)
            y = s.run(None, {s.get_inputs()[0].name: x.numpy()})[0]
            x.numpy().astype("<f4").tofile(path + ".x")
            y.astype("<f4").tofile(path + ".y")


if sys.argv[1] == "check":
    check(sys.argv[2])
else:
    export(sys.argv[2], sys.argv[3:])
