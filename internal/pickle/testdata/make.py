"""Makes the checkpoints of this directory: python3 make.py, with PyTorch."""
import collections, torch
from torch.serialization import set_default_load_endianness  # noqa: F401

a = torch.arange(6, dtype=torch.float32).reshape(2, 3)
base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
tensors = collections.OrderedDict(
    plain=a, turned=a.t(), part=base[1:3, 1:6:2], double=a.double() / 3, half=a.half() / 3, bfloat16=a.bfloat16() / 3,
    parameter=torch.nn.Parameter(a + 1), number=torch.tensor(7), scalar=torch.tensor(2.5), again=a,
)
torch.save(tensors, "tensors.pt")
torch.save(tensors, "legacy.pt", _use_new_zipfile_serialization=False)
m = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten(), torch.nn.Linear(8, 3))
with torch.no_grad():
    for i, p in enumerate(list(m.parameters()) + [m[1].running_mean, m[1].running_var]):
        p.copy_(((torch.arange(p.numel()) * 7 + i) % 11 / 8).reshape(p.shape))
o = torch.optim.Adam(m.parameters())
m(torch.ones(2, 1, 4, 4)).sum().backward()
with torch.no_grad():
    m[1].running_mean.fill_(0.5)
torch.save({"epoch": 3, "state_dict": m.state_dict(), "optimizer": o.state_dict(), "lr": 0.1, "args": ["a", None, True]}, "training.pt")
torch.save(m, "module.pt")
