"""PyTorch's side of TestFineTuning: see train/finetune_test.go.

    finetune.py base DIR          trains ResNet-20 on DIR/base.*, and writes it as DIR/base.onnx and
                                  the name of the value before its last layer as DIR/features
    finetune.py tune DIR SEED...  trains it further on DIR/SEED.*, frozen up to its last block, and
                                  prints how many of DIR/test.* it then gets right, for each seed

NAME.x holds pictures as float32, 3×32×32 each, and NAME.labels a byte for each.
"""
import copy
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2] / "model" / "testdata"))
from torchvision_cases import small_resnet

EPOCHS, BATCH, RATE, MOMENTUM, DECAY = 20, 20, 0.01, 0.9, 5e-4  # of tuning, as in finetune_test.go
FROZEN = ["conv1", "bn1", "layer1", "layer2", "layer3.0", "layer3.1"]


def pictures(name):
    x = torch.from_numpy(np.fromfile(f"{name}.x", np.float32)).reshape(-1, 3, 32, 32)
    return x, torch.from_numpy(np.fromfile(f"{name}.labels", np.uint8)).long()


def train(net, x, labels, epochs, batch, rate, schedule):
    steps = epochs * (len(x) // batch)
    weights = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(
        [{"params": [p for p in weights if p.dim() > 1], "weight_decay": DECAY},
         {"params": [p for p in weights if p.dim() < 2]}], rate, MOMENTUM, nesterov=True)
    rates = schedule(optimizer, steps)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for i in range(0, len(x) - batch + 1, batch):
            optimizer.zero_grad()
            of = order[i:i + batch]
            nn.functional.cross_entropy(net(x[of]), labels[of]).backward()
            optimizer.step()
            rates.step()


def base(directory):
    torch.manual_seed(1)
    x, labels = pictures(directory / "base")
    net = small_resnet(3)
    net.linear = nn.Linear(64, int(labels.max()) + 1)
    train(net, x, labels, 4, 64, 0.1,
          lambda o, steps: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=steps + 1))
    torch.save(net, directory / "base.pt")
    net.eval()
    torch.onnx.export(net, (x[:1],), directory / "base.onnx", dynamo=False, opset_version=17,
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
                      input_names=["x"], dynamic_axes={"x": {0: "N"}})
    import onnx
    last = onnx.load(directory / "base.onnx").graph.node[-1]
    assert last.op_type == "Gemm", last.op_type
    (directory / "features").write_text(last.input[0])


def tune(directory, seeds):
    whole = torch.load(directory / "base.pt", weights_only=False)
    test, want = pictures(directory / "test")
    for seed in seeds:
        torch.manual_seed(int(seed))
        net = copy.deepcopy(whole)
        net.linear = nn.Linear(64, 2)
        net.train()
        for name in FROZEN:
            net.get_submodule(name).requires_grad_(False).eval()
        train(net, *pictures(directory / seed), EPOCHS, BATCH, RATE,
              lambda o, steps: torch.optim.lr_scheduler.CosineAnnealingLR(o, steps))
        net.eval()
        with torch.no_grad():
            print(int((net(test).argmax(1) == want).sum()))


if __name__ == "__main__":
    command, directory = sys.argv[1], Path(sys.argv[2])
    base(directory) if command == "base" else tune(directory, sys.argv[3:])
