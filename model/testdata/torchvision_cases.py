"""Writes torchvision_cases.json: what PyTorch makes of the networks that model.ByName knows.

    python3 torchvision_cases.py [NAME...] > torchvision_cases.json

Networks of torchvision's list are torchvision's own; the others are written here, after their
sources. Weights, inputs and targets come from a formula (see values), so that only one number of
each result is stored: its inner product with a vector of the same formula. A wrong element changes
it. Everything is computed in float64, without dropout.

For two heights and widths with two batch sizes there is, in evaluation, the output, the loss and the
gradient of each parameter; and in training the same of a first step, the losses of three steps of
gradient descent, and the buffers after them.
"""
import json
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision

CLASSES, RATE = 10, 0.01
PICTURES = ("autoencoder", "unet")


def uniform(name, n):
    """n numbers in (-1, 1), of 24 bits: SplitMix64's finaliser of the FNV-1a hash of name and an index."""
    seed = 0xCBF29CE484222325
    for c in name.encode():
        seed = (seed ^ c) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
        z += np.uint64(seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return torch.from_numpy(((z >> np.uint64(40)).astype(np.float64) + 0.5) / (1 << 23) - 1)


def values(name, shape, scale=1.0, shift=0.0):
    n = int(np.prod(shape))
    return (uniform(name, n) * scale + shift).reshape(shape)


def weight(name, shape):
    """The weight of that name: of variance 2/fan-in; scales near 0.8; biases and means near 0; variances near 1."""
    kind = name.rpartition(".")[2]
    if kind == "running_var":
        return values(name, shape, 0.3, 1)
    if len(shape) > 1:
        return values(name, shape, (6 / np.prod(shape[1:])) ** 0.5)
    if kind == "weight":
        return values(name, shape, 0.2, 0.8)
    return values(name, shape, 0.1)


def digest(t):
    t = t.detach().reshape(-1)
    return float(f"{float((t * uniform('digest', t.numel())).sum()):.13g}")


class OptionA(nn.Module):
    """The basic block of He et al. for CIFAR: a shortcut without weights."""

    def __init__(self, c, k, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, k, 3, stride, 1, bias=False), nn.BatchNorm2d(k)
        self.conv2, self.bn2 = nn.Conv2d(k, k, 3, 1, 1, bias=False), nn.BatchNorm2d(k)
        self.pad = k - c

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.pad:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad // 2, self.pad // 2))
        return F.relu(x + y)


def named(**layers):
    s = nn.Sequential()
    for name, layer in layers.items():
        s.add_module(name, layer)
    return s


def small_resnet(n):
    def stage(c, k, stride):
        return nn.Sequential(*[OptionA(c if i == 0 else k, k, stride if i == 0 else 1) for i in range(n)])

    return named(conv1=nn.Conv2d(3, 16, 3, 1, 1, bias=False), bn1=nn.BatchNorm2d(16), relu=nn.ReLU(),
                 layer1=stage(16, 16, 1), layer2=stage(16, 32, 2), layer3=stage(32, 64, 2),
                 pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), linear=nn.Linear(64, CLASSES))


class Around(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def resnet9():
    def unit(c, k, *more):
        return nn.Sequential(nn.Conv2d(c, k, 3, 1, 1, bias=False), nn.BatchNorm2d(k), nn.ReLU(), *more)

    return named(conv1=unit(3, 64), conv2=unit(64, 128, nn.MaxPool2d(2)), res1=Around(unit(128, 128), unit(128, 128)),
                 conv3=unit(128, 256, nn.MaxPool2d(2)), conv4=unit(256, 512, nn.MaxPool2d(2)),
                 res2=Around(unit(512, 512), unit(512, 512)), pool=nn.AdaptiveMaxPool2d(1), flat=nn.Flatten(),
                 classifier=nn.Sequential(nn.Identity(), nn.Identity(), nn.Linear(512, CLASSES)))


def lenet5():
    return named(conv1=nn.Conv2d(3, 6, 5, padding=2), r1=nn.ReLU(), p1=nn.MaxPool2d(2), conv2=nn.Conv2d(6, 16, 5),
                 r2=nn.ReLU(), p2=nn.MaxPool2d(2), flat=nn.Flatten(), fc1=nn.LazyLinear(120), r3=nn.ReLU(),
                 fc2=nn.Linear(120, 84), r4=nn.ReLU(), fc3=nn.Linear(84, CLASSES))


def article():
    return named(conv1=nn.Conv2d(3, 16, 3, padding=1), r1=nn.ReLU(), p1=nn.MaxPool2d(2),
                 conv2=nn.Conv2d(16, 32, 3, padding=1), r2=nn.ReLU(), p2=nn.MaxPool2d(2), flat=nn.Flatten(),
                 fc1=nn.LazyLinear(CLASSES))


def convnet():
    def conv(c, k):
        return nn.Conv2d(c, k, 3, padding=1, bias=False)

    return named(conv1=conv(3, 32), r1=nn.ReLU(), p1=nn.MaxPool2d(2), conv2=conv(32, 64), r2=nn.ReLU(),
                 p2=nn.MaxPool2d(2), conv3=conv(64, 128), r3=nn.ReLU(), p3=nn.MaxPool2d(2), flat=nn.Flatten(),
                 fc1=nn.LazyLinear(625, bias=False), r4=nn.ReLU(), fc2=nn.Linear(625, CLASSES, bias=False))


def autoencoder():
    def up(c, k):
        return nn.ConvTranspose2d(c, k, 3, 2, 1, output_padding=1)

    return named(encoder=nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
                 decoder=nn.Sequential(up(32, 16), nn.ReLU(), up(16, CLASSES)))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()

        def double(c, k):
            return nn.Sequential(nn.Conv2d(c, k, 3, 1, 1, bias=False), nn.BatchNorm2d(k), nn.ReLU(),
                                 nn.Conv2d(k, k, 3, 1, 1, bias=False), nn.BatchNorm2d(k), nn.ReLU())

        self.down1, self.down2, self.bottom = double(3, 16), double(16, 32), double(32, 64)
        self.up2, self.join2, self.join1 = nn.ConvTranspose2d(64, 32, 2, 2), double(64, 32), double(48, 16)
        self.last = nn.Conv2d(16, CLASSES, 1)

    def forward(self, x):
        first = self.down1(x)
        second = self.down2(F.max_pool2d(first, 2))
        y = self.up2(self.bottom(F.max_pool2d(second, 2)))
        y = self.join2(torch.cat((second, y), 1))
        y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        return self.last(self.join1(torch.cat((first, y), 1)))


# What makes each network, and the heights and widths that it is run at.
LARGE, SMALL, QUARTERS = ((64, 70), (75, 97)), ((24, 20), (33, 37)), ((16, 20), (24, 28))
NETWORKS = {
    "resnet20": (lambda: small_resnet(3), SMALL), "resnet56": (lambda: small_resnet(9), SMALL), "resnet9": (resnet9, ((16, 20), (24, 17))),
    "lenet5": (lenet5, ((28, 30), (33, 37))), "article": (article, SMALL), "convnet": (convnet, SMALL),
    "autoencoder": (autoencoder, QUARTERS), "unet": (UNet, QUARTERS),
}
for name in ("resnet18", "resnet34", "resnet50", "mobilenet_v2", "squeezenet1_1", "vgg11", "vgg11_bn", "vgg16", "vgg16_bn"):
    NETWORKS[name] = (lambda name=name: getattr(torchvision.models, name)(num_classes=CLASSES), LARGE)


def run(name, hw, batch):
    x = values("input", (batch, 3, *hw))
    net = NETWORKS[name][0]().double()
    for m in net.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0
    net.eval()(x)  # makes the lazy layers
    with torch.no_grad():
        for k, w in net.state_dict().items():
            if not k.endswith("num_batches_tracked"):
                w.copy_(weight(k, w.shape))
    if name in PICTURES:
        target = values("target", (batch, CLASSES, *hw))
        loss_of = F.mse_loss
    else:
        target = ((uniform("target", batch) + 1) / 2 * CLASSES).long()
        loss_of = F.cross_entropy

    def step():
        net.zero_grad()
        y = net(x)
        loss = loss_of(y, target)
        loss.backward()
        return y, loss.item()

    def grads():
        return {k: digest(p.grad) for k, p in net.named_parameters()}

    result = {"hw": hw, "batch": batch}
    y, loss = step()
    result["eval"] = {"y": digest(y), "losses": [loss], "grads": grads()}
    net.train()
    losses = []
    for i in range(3):
        y, loss = step()
        losses.append(loss)
        if i == 0:
            result["train"] = {"y": digest(y), "losses": losses, "grads": grads()}
        with torch.no_grad():
            for p in net.parameters():
                p -= RATE * p.grad
    result["train"]["buffers"] = {k: digest(b) for k, b in net.named_buffers() if not k.endswith("num_batches_tracked")}
    return result


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(NETWORKS)
    print("{")
    for i, name in enumerate(names):
        cases = [run(name, hw, batch) for hw, batch in zip(NETWORKS[name][1], (2, 3))]
        print(f"{json.dumps(name)}: " + json.dumps(cases, separators=(",", ":")) + ("," if i + 1 < len(names) else ""))
        print(name, file=sys.stderr)
    print("}")
