"""A CUDA device as skreg sees it, on a CPU.

A tensor on it says that it is on CUDA, and behaves so where that matters here: it does not mix
with one on the CPU, and to read it the host waits.
"""

from contextlib import contextmanager

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

aten = torch.ops.aten
CPU, CUDA = torch.device("cpu"), torch.device("cuda")

# The host has to know what they find.
READS = {
    *(aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal),
    *(aten._unique2, aten.bincount, aten.repeat_interleave),
}
# They take a number on the host in the place of a tensor, as CUDA's kernels do.
TAKE_NUMBERS = {
    *(aten.add, aten.add_, aten.sub, aten.sub_, aten.mul, aten.mul_, aten.div, aten.div_),
    *(aten.pow, aten.where, aten.minimum, aten.maximum, aten.gt, aten.lt, aten.eq),
}


class OnDevice(Tensor):
    """A tensor that says it is on CUDA; its numbers are in `memory`."""

    is_cuda, is_cpu = True, False
    device = property(lambda self: CUDA)

    @staticmethod
    def __new__(cls, memory):
        return Tensor._make_wrapper_subclass(
            cls,
            memory.size(),
            strides=memory.stride(),
            storage_offset=memory.storage_offset(),
            dtype=memory.dtype,
        )

    def __init__(self, memory):
        self.memory = memory

    def __repr__(self):
        return f"OnDevice({self.memory!r})"

    def __reduce_ex__(self, protocol):
        # As what a file on its way to a CPU holds.
        return machine.to_host(self).__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return machine.launch(func, args, kwargs or {})


class Machine:
    """The device, and how often the host has waited for it."""

    def __init__(self):
        self.n_waits = 0

    def launch(self, func, args, kwargs):
        flat, spec = tree_flatten((args, kwargs))
        self._check(func, args, flat, kwargs)
        on_device = {id(x.memory): x for x in flat if isinstance(x, OnDevice)}
        flat = [x.memory if isinstance(x, OnDevice) else x for x in flat]
        inner_args, inner_kwargs = tree_unflatten(flat, spec)
        inner_kwargs.pop("device", None)
        result = func(*inner_args, **inner_kwargs)

        def wrap(x):
            if not isinstance(x, Tensor):
                return x
            return on_device[id(x)] if id(x) in on_device else OnDevice(x)

        return tree_map(wrap, result)

    def _check(self, func, args, flat, kwargs):
        packet, tensors = func.overloadpacket, [x for x in flat if isinstance(x, Tensor)]
        on_host = [x for x in tensors if not isinstance(x, OnDevice)]
        indices = _tensors(args[1]) if packet in (aten.index, aten.index_put_) else []
        counted = any(x.dtype == torch.bool for x in indices)
        moved = on_host if packet in (aten.index, aten.index_put_, aten.copy_) else []
        if packet in READS or counted or moved:
            self.n_waits += 1
        elif any(x.ndim for x in on_host) or (on_host and packet not in TAKE_NUMBERS):
            raise RuntimeError(f"{func}: expected all tensors to be on the same device")
        elif packet is aten._fused_adam_:
            # Whatever they are, the kernel reads them as float32.
            assert all(x.dtype == torch.float32 for x in [*args[5], kwargs["lr"]])

    def to_device(self, tensor):
        self.n_waits += 1
        return OnDevice(tensor.detach().clone())

    def to_host(self, tensor):
        self.n_waits += 1
        return tensor.memory.clone()


machine = Machine()


def _tensors(tree):
    return [x for x in tree_flatten(tree)[0] if isinstance(x, Tensor)]


class PretendCuda(TorchFunctionMode):
    """While it is entered, tensors that are sent to CUDA are :class:`OnDevice`."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is Tensor.cpu:
            return machine.to_host(args[0]) if isinstance(args[0], OnDevice) else args[0]
        if func is Tensor.tolist and isinstance(args[0], OnDevice):
            return machine.to_host(args[0]).tolist()
        if func is Tensor.numpy and isinstance(args[0], OnDevice):
            raise TypeError("can't convert cuda tensor to numpy. Use Tensor.cpu() first")
        if func is Tensor.to:
            return _to(*args, **kwargs)
        if func is Tensor.new_tensor and isinstance(args[0], OnDevice):
            return machine.to_device(torch.tensor(args[1], dtype=args[0].dtype))
        if func is torch.as_tensor and isinstance(args[0], OnDevice):
            return _to(args[0], kwargs.get("dtype") or args[0].dtype)
        if kwargs.get("device") is not None and torch.device(kwargs["device"]) == CUDA:
            return machine.to_device(func(*args, **{**kwargs, "device": "cpu"}))
        return func(*args, **kwargs)


def _to(tensor, *args, **kwargs):
    if args and isinstance(args[0], Tensor):
        device, dtype = args[0].device, args[0].dtype
    else:
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
    if device is not None and isinstance(tensor, OnDevice) != (device.type == "cuda"):
        tensor = machine.to_host(tensor) if device == CPU else machine.to_device(tensor)
    return tensor if dtype in (None, tensor.dtype) else tensor.type(dtype)


@contextmanager
def pretend_cuda(monkeypatch):
    """Fits with ``device="cuda"`` train on it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    # A tensor that wraps another cannot be made in inference mode.
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**33, 2**33))
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with PretendCuda():
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
