"""Values of torch: digests, what is refused, and the way through a record and back."""

from __future__ import annotations

import copy
import pathlib
import sys

import pytest
from thrifty import _native

torch = pytest.importorskip(
    "torch", reason="torch is not installed: its values are not tested", exc_type=ImportError
)

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import digest_values  # noqa: E402 - beside this file, which pytest does not put on the path
import torch_values  # noqa: E402

digest = _native.digest


@pytest.fixture(scope="module")
def table():
    return digest_values.digests(torch_values.SOURCES)


def test_values_agree_where_they_are_the_same_and_differ_where_not(table):
    digest_values.check_groups(table, at_least=1)


def test_another_process_agrees(table):
    assert digest_values.in_another_process("torch_values.SOURCES", "4242") == table


def hooked():
    model = torch_values.net()
    model.first.register_forward_hook(print)
    return model


def hooked_parameter():
    model = torch_values.net()
    model.first.weight.register_hook(print)
    return model


REFUSED = {
    "graph": (lambda: torch_values.net()(torch.ones(2, 4)), "detach"),
    "graph in dict": (lambda: {"y": torch.ones(1, requires_grad=True) * 2}, r'value\["y"\]: torch.Tensor.*detach'),
    "sparse": (lambda: torch.eye(3).to_sparse(), "to_dense"),
    "compressed": (lambda: torch.eye(3).to_sparse_csr(), "to_dense"),
    "quantized": (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "dequantize"),
    "meta": (lambda: torch.empty(3, device="meta"), "no elements"),
    "hook": (hooked, r"value\.first\._forward_hooks: .*hook"),
    "hook of a parameter": (hooked_parameter, r"value\.first\.weight: .*hook"),
    "storage": (lambda: torch.ones(2).untyped_storage(), "pass tensors"),
    "compiled": (lambda: torch.jit.script(torch.nn.Linear(2, 2)), "compiled"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_has_no_rule_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(TypeError, match=message):
        digest(make())


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    return _native._Probe(tmp_path_factory.mktemp("store"), _native.encoding)


def round_trips():
    for source in torch_values.SOURCES:
        for name, members in source():
            for member in members:
                yield f"{source.__name__}: {name}", member


def test_every_value_comes_back(probe):
    for name, value in round_trips():
        back = probe.get(probe.put(value))
        assert type(back) is type(value), name
        assert digest(back) == digest(value), name
        if type(value) in (torch.Tensor, torch.nn.Parameter):
            assert back.stride() == value.stride() or not value.is_contiguous(), name
            assert back.requires_grad == value.requires_grad, name
            assert back.device == value.device, name


def test_codecs(probe):
    shape = {name: probe.shape(probe.put(value)) for name, value in round_trips()}
    assert shape["tensor_groups: tensor"] == "tensor/1"
    assert shape["tensor_groups: parameter"] == "tensor/1"
    assert shape["module_groups: state"] == "tensor/1"
    assert shape["module_groups: net"] == "pickle/1"


def test_a_tensor_is_the_readers_own(probe):
    value = torch.arange(100_000.0)
    record = probe.put(value)
    first, second = probe.get(record), probe.get(record)
    first += 1
    assert torch.equal(second, value)
    assert torch.equal(probe.get(record), value)


def test_a_model_can_be_trained_further(probe):
    model = torch_values.net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    torch_values.trained(model, optimizer)
    loaded, loaded_optimizer = probe.get(probe.put((model, optimizer)))
    torch_values.trained(model, optimizer)
    torch_values.trained(loaded, loaded_optimizer)
    assert digest(loaded) == digest(model)
    assert digest(loaded_optimizer) == digest(optimizer)


def test_tied_parameters_stay_one(probe):
    model = torch.nn.ModuleList([torch.nn.Linear(200, 200), torch.nn.Linear(200, 200)])
    model[1].weight = model[0].weight
    loaded = probe.get(probe.put(model))
    assert loaded[1].weight is loaded[0].weight
    state = probe.get(probe.put(model.state_dict()))
    assert state["0.weight"].data_ptr() == state["1.weight"].data_ptr()
    assert state._metadata == model.state_dict()._metadata


def test_a_tensor_that_is_held_twice_stays_one(probe):
    value = torch.ones(3)
    one, other = probe.get(probe.put([value, value]))
    assert one is other


def test_large_tensors_lie_beside_a_pickle(probe):
    model = torch.nn.Linear(500, 500)
    assert len(probe.put(model)) < 10_000


@pytest.mark.parametrize("buffers", [[], [b""], [b"\0" * 7], [b"\0" * 8, b"\0"]])
def test_a_torn_tensor_is_unreadable(probe, buffers):
    header = _native.encoding(("tensor", ("Tensor", "float32", (2,), (0,), False, "cpu"), 0, None))
    if buffers == [b"\0" * 8, b"\0"]:
        assert probe.get_object("tensor/1", header, buffers).shape == (2,)
        return
    with pytest.raises(_native.Unreadable):
        probe.get_object("tensor/1", header, buffers)


def test_previews():
    assert _native.preview(torch.ones(2, 3)) == "Tensor(torch.float32, 2×3)"


def test_nothing_of_an_argument_is_changed():
    model = torch_values.net()
    before = copy.deepcopy(model.state_dict())
    digest(model)
    assert digest(model.state_dict()) == digest(before)
