"""A CUDA device as skreg sees it, on a CPU, and its graphs; see test_cuda_graph.py.

A tensor on it says that it is on CUDA, and behaves so where that matters here: it does not mix
with one on the CPU, and to read it the host waits. A recording holds the operations that were
launched, with the memory that they read and write. They are not carried out: what is there
afterwards is what was there before. A replay carries them out, in the same memory, and runs no
line of skreg's. What a CUDA graph forbids is an error.
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
# They give out memory and compute nothing.
ALLOCATIONS = {aten.empty, aten.empty_like, aten.new_empty, aten.empty_strided}
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
    """The device: what is being recorded on it, and how often the host has waited for it."""

    def __init__(self):
        self.n_waits = 0
        self.recording = None

    def wait(self, what):
        if self.recording is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing ({what})\n")
        self.n_waits += 1

    def launch(self, func, args, kwargs):
        flat, spec = tree_flatten((args, kwargs))
        self._check(func, args, flat, kwargs)
        on_device = {id(x.memory): x for x in flat if isinstance(x, OnDevice)}
        if self.recording is not None:
            # A number on the host is burnt in as it is now.
            flat = [x.clone() if type(x) is Tensor else x for x in flat]
        flat = [x.memory if isinstance(x, OnDevice) else x for x in flat]
        inner_args, inner_kwargs = tree_unflatten(flat, spec)
        inner_kwargs.pop("device", None)
        if self.recording is not None:
            result = self.recording.carry_out(func, inner_args, inner_kwargs)
        else:
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
            self.wait(func)
        elif any(x.ndim for x in on_host) or (on_host and packet not in TAKE_NUMBERS):
            raise RuntimeError(f"{func}: expected all tensors to be on the same device")
        elif packet is aten._fused_adam_:
            # Whatever they are, the kernel reads them as float32.
            assert all(x.dtype == torch.float32 for x in [*args[5], kwargs["lr"]])

    def to_device(self, tensor):
        self.wait("copy from host to device")
        return OnDevice(tensor.detach().clone())

    def to_host(self, tensor):
        self.wait("copy from device to host")
        return tensor.memory.clone()


machine = Machine()


class Recording:
    """The operations of a step, and their memory."""

    def __init__(self):
        self._calls = []
        self._before = {}
        self._made = {}

    def carry_out(self, func, args, kwargs):
        """Carry out an operation for its shapes and its memory; see `undo`."""
        for tensor in _written(func, args, kwargs):
            memory = tensor.untyped_storage()
            if memory.data_ptr() not in {**self._made, **self._before}:
                self._before[memory.data_ptr()] = memory, memory.clone()
        result = func(*args, **kwargs)
        returns = [r.alias_info for r in func._schema.returns]
        if any(r is not None and not r.is_write for r in returns):
            return result  # a view
        new = [] if func._schema.is_mutable else _tensors(result)
        there = {x.untyped_storage().data_ptr() for x in _tensors((args, kwargs))}
        for tensor in new:
            if tensor.untyped_storage().data_ptr() not in there:
                self._made[tensor.untyped_storage().data_ptr()] = tensor
        if func.overloadpacket not in ALLOCATIONS:
            self._calls.append((func, args, kwargs, new))
        return result

    def undo(self):
        """Put back what was there: of what is recorded nothing happens until it is replayed."""
        for memory, before in self._before.values():
            memory.copy_(before)
        for made in self._made.values():
            if made.is_floating_point():
                made.fill_(float("nan"))
        self._before.clear()

    def replay(self):
        with torch.no_grad():
            for func, args, kwargs, places in self._calls:
                result = func(*args, **kwargs)
                if places:
                    for place, value in zip(places, _tensors(result), strict=True):
                        place.copy_(value)


def _tensors(tree):
    return [x for x in tree_flatten(tree)[0] if isinstance(x, Tensor)]


def _written(func, args, kwargs):
    """The tensors that an operation writes to."""
    written = []
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = kwargs.get(argument.name)
            written += _tensors(args[position] if position < len(args) else given)
    return written


class PretendRecorder:
    """In the place of :class:`skreg.training.cuda_graph.CudaRecorder`."""

    n_recorded = n_replayed = n_failed = 0

    def __init__(self, device):
        assert torch.device(device) == CUDA

    def rehearse(self, step):
        before = machine.n_waits
        step()
        return machine.n_waits > before

    def record(self, step):
        recording = machine.recording = Recording()
        try:
            step()
        except RuntimeError:
            PretendRecorder.n_failed += 1
            raise
        finally:
            machine.recording = None
            recording.undo()
        PretendRecorder.n_recorded += 1

        def replay():
            PretendRecorder.n_replayed += 1
            recording.replay()

        return replay


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
def pretend_cuda(monkeypatch, *, n_eager=2):
    """Fits with ``device="cuda"`` train on it; steps are recorded after `n_eager`."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    # A tensor that wraps another cannot be made in inference mode.
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**33, 2**33))
    monkeypatch.setattr("skreg.training.cuda_graph.CudaRecorder", PretendRecorder)
    monkeypatch.setattr("skreg.training.cuda_graph.GraphedSteps.n_eager", n_eager)
    for name in ("n_recorded", "n_replayed", "n_failed"):
        monkeypatch.setattr(PretendRecorder, name, 0)
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with PretendCuda():
            yield PretendRecorder
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
