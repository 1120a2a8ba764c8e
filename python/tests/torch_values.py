"""Values of torch for `test_torch.py`, like those of `digest_values.py`."""

from __future__ import annotations

import copy
import pickle

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, hidden=3, bias=True):
        super().__init__()
        self.hidden = hidden
        self.first = nn.Linear(4, hidden, bias=bias)
        self.norm = nn.BatchNorm1d(hidden)
        self.second = nn.Linear(hidden, 2)
        self.register_buffer("seen", torch.zeros(2))
        self.register_buffer("scratch", torch.ones(2), persistent=False)

    def forward(self, batch):
        return self.second(torch.relu(self.norm(self.first(batch))))


class OtherNet(Net):
    pass


class Marked(torch.Tensor):
    pass


def net(kind=Net, **options):
    torch.manual_seed(0)
    return kind(**options)


def trained(model, optimizer):
    torch.manual_seed(1)
    loss = model(torch.randn(8, 4)).square().mean()
    loss.backward()
    optimizer.step()
    return model, optimizer


def tensor_groups():
    base = torch.arange(12.0).reshape(3, 4)
    wide = torch.zeros(3, 8)
    wide[:, ::2] = base
    yield (
        "tensor",
        [
            base,
            base.clone(),
            base.t().contiguous().t(),
            wide[:, ::2],
            torch.arange(-1.0, 12.0)[1:].reshape(3, 4),
            pickle.loads(pickle.dumps(base)),
            copy.deepcopy(base),
        ],
    )
    yield "transposed", [base.t(), base.t().contiguous()]
    yield "flat", [base.flatten()]
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    yield "channels last", [image, image.to(memory_format=torch.channels_last)]
    yield "expanded", [torch.ones(1, 3).expand(2, 3), torch.ones(2, 3)]
    for dtype in (
        torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.uint8, torch.bool, torch.complex64, torch.complex128, torch.float8_e4m3fn, torch.float8_e5m2,
    ):  # fmt: skip
        yield f"tensor {dtype}", [base.to(dtype), base.clone().to(dtype)]
        yield f"dtype {dtype}", [dtype, base.to(dtype).dtype]
    turned = torch.tensor([1 + 2j, 3 - 4j])
    yield "conjugate", [turned.conj(), turned.conj().resolve_conj()]
    yield "imaginary", [turned.conj().imag, torch.tensor([-2.0, 4.0])]
    yield "one element", [base + torch.eye(3, 4)]
    yield "empty", [torch.empty(0)]
    yield "empty 0x3", [torch.empty(0, 3), torch.ones(5, 3)[:0]]
    yield "0-d", [torch.tensor(1.0), base[0, 1]]
    yield "1-d of one", [torch.tensor([1.0])]
    yield "nan", [torch.tensor([float("nan"), -0.0])]
    yield "zero", [torch.tensor([float("nan"), 0.0])]
    yield "requires grad", [base.clone().requires_grad_(), base.clone().requires_grad_()]
    graded = base.clone().requires_grad_()
    graded.grad = torch.ones(3, 4)
    yield "grad", [graded]
    noted = base.clone()
    noted.unit = "m"
    yield "attribute", [noted]
    yield "parameter", [nn.Parameter(base), nn.Parameter(base.clone())]
    yield "frozen parameter", [nn.Parameter(base, requires_grad=False)]
    yield "subclass", [base.as_subclass(Marked), base.clone().as_subclass(Marked)]
    yield "array", [base.numpy()]
    yield "list", [[base, base], [base, base.clone()]]
    yield "size", [base.shape, torch.Size([3, 4])]
    yield "tuple", [(3, 4)]
    yield "device", [torch.device("cpu"), base.device]
    yield "device 0", [torch.device("cuda:0")]
    yield "device 1", [torch.device("cuda:1")]
    yield "format", [torch.channels_last]
    yield "layout", [torch.strided]
    yield "generator 1", [torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)]
    yield "generator 2", [torch.Generator().manual_seed(2)]
    large = torch.arange(2_000_000.0).reshape(1000, 2000)
    yield "large", [large, large.t().contiguous().t()]


def module_groups():
    yield "net", [net(), copy.deepcopy(net()), pickle.loads(pickle.dumps(net()))]
    yield "net other class", [net(OtherNet)]
    yield "net evaluated", [net().eval()]
    yield "net hyper", [(lambda n: (setattr(n, "hidden", 4), n)[1])(net())]
    yield "net bias", [net(bias=False)]
    yield "net width", [net(hidden=5)]
    yield "net frozen", [net().requires_grad_(False)]
    yield "net double", [net().double()]
    moved = net()
    moved.seen += 1
    yield "net buffer", [moved]
    yield "net momentum", [(lambda n: (setattr(n.norm, "momentum", 0.2), n)[1])(net())]
    yield "part", [net().first, copy.deepcopy(net()).first]
    yield "sequential", [nn.Sequential(net().first, net().norm)]
    yield "sequential order", [nn.Sequential(net().norm, net().first)]
    yield "list", [nn.ModuleList([net().first])]
    tied, copied = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)]), None
    tied[1].weight = tied[0].weight
    copied = copy.deepcopy(tied)
    loose = copy.deepcopy(tied)
    loose[1].weight = nn.Parameter(loose[0].weight.detach().clone())
    yield "tied", [tied, copied, pickle.loads(pickle.dumps(tied))]
    yield "loose", [loose]
    torch.manual_seed(0)
    recurrent = nn.LSTM(3, 4)
    yield "recurrent", [recurrent, copy.deepcopy(recurrent), pickle.loads(pickle.dumps(recurrent))]
    torch.manual_seed(0)
    attention = nn.TransformerEncoderLayer(4, 2, 8)
    yield "attention", [attention, copy.deepcopy(attention)]
    yield "activation", [nn.ReLU(), nn.ReLU()]
    yield "other activation", [nn.GELU()]
    yield "state", [net().state_dict(), net().state_dict(), copy.deepcopy(net().state_dict())]
    yield "other state", [net().double().state_dict()]

    def stepped(kind, **options):
        model = net()
        return trained(model, kind(model.parameters(), **options))[1]

    sgd, adam = torch.optim.SGD, torch.optim.Adam
    yield "sgd", [stepped(sgd, lr=0.1, momentum=0.9), stepped(sgd, lr=0.1, momentum=0.9)]
    yield "sgd rate", [stepped(sgd, lr=0.2, momentum=0.9)]
    yield "sgd fresh", [sgd(net().parameters(), lr=0.1, momentum=0.9)]
    yield "adam", [stepped(adam, lr=0.1), stepped(adam, lr=0.1)]
    yield (
        "adam groups",
        [
            adam(
                [
                    {"params": net().first.parameters()},
                    {"params": net().second.parameters(), "lr": 1.0},
                ]
            )
        ],
    )
    yield "adam state", [stepped(adam, lr=0.1).state_dict(), stepped(adam, lr=0.1).state_dict()]
    yield (
        "trained",
        [trained(*(lambda m: (m, sgd(m.parameters(), lr=0.1)))(net()))[0] for _ in range(2)],
    )
    pair = torch.utils.data.TensorDataset(torch.ones(2), torch.zeros(2))
    yield "data set", [pair, copy.deepcopy(pair)]


SOURCES = [tensor_groups, module_groups]
