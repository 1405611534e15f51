"""The kernels as an operator of torch, which torch.compile can trace: torch.ops.nvfp4gen.grouped_gemm.

    import nvfp4gen.torch

    nvfp4gen.torch.use(nvfp4gen.Library("generated"))
    outputs = torch.ops.nvfp4gen.grouped_gemm(a, b, sfa, sfb)       # lists of tensors, one a group

Importing nvfp4gen after torch registers it too. Kernels are found by the sizes of the tensors, loaded at their first
call on a device, and launched in the current stream. Load them before a graph is captured: `load(sizes)`.
"""

import threading
from typing import List

import torch

from . import MissingSet

_library = None
_local = threading.local()


def use(library):
    """Takes kernels from this library from now on."""
    global _library, _local
    _library, _local = library, threading.local()


def load(sizes, device=0):
    """Loads the kernel of (M, N, K) of each group on a device; gives this thread's launch of it."""
    key = device, tuple(sizes)
    launches = _local.__dict__.setdefault("launches", {})
    launch = launches.get(key)
    if launch is None:
        launch = launches[key] = _find(list(key[1]), device).prepare()
    return launch


def _find(sizes, device):
    if _library is None:
        raise RuntimeError("there is no library: call nvfp4gen.torch.use(nvfp4gen.Library(directory)) first")
    try:
        return _library.load(sizes, device=device)
    except MissingSet:
        try:
            return _library.load(sizes, weights="dynamic", device=device)
        except MissingSet:
            pass
        raise


def _sizes(a, b):
    if len(a) != len(b):
        raise ValueError(f"A of {len(a)} groups, and B of {len(b)}")
    return tuple((x.shape[0], y.shape[0], 2 * x.shape[1]) for x, y in zip(a, b))


def _outputs(a, b):
    return [x.new_empty((x.shape[0], y.shape[0]), dtype=torch.float16) for x, y in zip(a, b)]


@torch.library.custom_op("nvfp4gen::grouped_gemm", mutates_args=(), device_types="cuda")
def grouped_gemm(
    a: List[torch.Tensor], b: List[torch.Tensor], sfa: List[torch.Tensor], sfb: List[torch.Tensor]
) -> List[torch.Tensor]:
    """C [M, N] float16 of each group: A [M, K/2], B [N, K/2], scales in blocked form, as nvfp4gen.Launch takes them."""
    outputs = _outputs(a, b)
    launch = load(_sizes(a, b), a[0].device.index if a else 0)
    launch(list(zip(a, b, outputs)), list(zip(sfa, sfb)))
    return outputs


@grouped_gemm.register_fake
def _(a, b, sfa, sfb):
    return _outputs(a, b)
