"""NVFP4 grouped GEMMs of known sizes: specialised kernels, loaded once, launched with one driver call.

    library = nvfp4gen.Library("generated")
    kernel = library.load([(128, 4096, 1536), (384, 4096, 1536)])   # (M, N, K) of each group; once
    launch = kernel.prepare()                                       # owns its parameter block
    launch([(a, b, c), ...], [(sfa, sfb), ...])                     # one driver call, in the current stream

For each group, C[m, n] = sum over k of A[m, k] * SFA[m, k/16] * B[n, k] * SFB[n, k/16], with

    A   [M, K/2]   two E2M1 codes a byte, the first in the low nibble; uint8 or float4_e2m1fn_x2
    B   [N, K/2]   likewise
    SFA            E4M3 scales of A in blocks of 128 x 4: [512 * ceil(M/128) * ceil(K/64)] bytes, see to_blocked
    SFB            likewise of B
    C   [M, N]     float16

Rows lie one behind the other. Tensors may be torch's, anything with data_ptr(), __cuda_array_interface__ or
__dlpack__, or plain addresses.
"""

import sys as _sys

from ._build import Set, Verdict, build, verify
from ._native import (
    DeviceArray,
    Error,
    Graph,
    Kernel,
    Launch,
    Library,
    MissingSet,
    __version__,
    from_address,
    synchronize,
)
from ._quantize import Quantized, dequantize, quantize, to_blocked, to_device, to_plain

__all__ = [
    "DeviceArray",
    "Error",
    "Graph",
    "Kernel",
    "Launch",
    "Library",
    "MissingSet",
    "Quantized",
    "Set",
    "Verdict",
    "__version__",
    "build",
    "dequantize",
    "from_address",
    "quantize",
    "synchronize",
    "to_blocked",
    "to_device",
    "to_plain",
    "verify",
]

if "torch" in _sys.modules:
    from . import torch as _torch  # registers the operator
