"""The native half of the package."""

import os
from typing import Any, Optional, Sequence, Union

Sizes = Sequence[Sequence[int]]
"""(M, N, K) of each group; the contest's (M, N, K, 1) will do."""

Abc = Union[list[Sequence[Any]], tuple[Sequence[Any], ...]]
"""(A, B, C) of each group: A [M, K/2], B [N, K/2], C [M, N], or [.., .., 1]; tensors or addresses."""

Scales = Union[list[Sequence[Any]], tuple[Sequence[Any], ...]]
"""(SFA, SFB) of each group, blocked: [512 * ceil(rows/128) * ceil(K/64)], or the contest's [32, 4, .., 4, .., 1]."""

Stream = Any
"""A handle, a torch stream, anything with __cuda_stream__. None: the current stream of the tensors' framework."""

__version__: str

class Error(RuntimeError):
    """No driver, no device, or one that cannot do what was asked; a damaged library. The message says what to do."""

class MissingSet(LookupError):
    """The library has no kernel of these sizes. The message names the nearest, and the lines that add it."""

class Library:
    """The kernels that `build` wrote to a directory. Opening it reads manifests, and touches no GPU."""

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None: ...
    @property
    def keys(self) -> list[str]:
        """The keys of all kernels, in the order of the shape files."""
    def load(
        self, what: Union[str, Sizes], *, output: str = "f16", weights: str = "static", device: int = 0
    ) -> Kernel:
        """Loads a kernel by its key, or by its sizes and options, with everything that can be done beforehand.

        Other threads of Python run meanwhile. MissingSet; Error.
        """

class Kernel:
    """A kernel on a device. Threads may share it; each prepares a launch of its own."""

    key: str
    name: str
    sizes: list[tuple[int, int, int]]
    output: str
    weights: str
    device: int
    image: str
    """"ptx" if the driver compiled it, "cubin" if that had been done."""
    notices: list[str]
    is_programmatic: bool
    def prepare(self, *, checks: bool = True) -> Launch:
        """A launch with a parameter block of its own.

        With checks, each call looks at type, shape, strides and device of every tensor, in groups that have tokens.
        """

class Launch:
    """A launch that owns its parameter block. One thread at a time may use it."""

    def __call__(self, abc: Abc, scales: Scales, stream: Stream = None) -> None:
        """Reads the address of every tensor, stores them, and launches: one driver call.

        The tensors must live until the work is done, as with any kernel. TypeError, ValueError: what is wrong, with group
        and operand; Error.
        """
    def bind(self, abc: Abc, scales: Scales) -> None:
        """The first half of a call: the addresses hold until the next bind."""
    def enqueue(self, stream: Stream = None) -> None:
        """The second half: launches with the addresses last bound."""
    def run(self, pointers: Any, stream: Stream = None) -> None:
        """A call with addresses collected beforehand: A, B, SFA, SFB, C of each group, one after the other.

        A buffer of 64-bit integers (array("Q"), a numpy array), or a list or tuple of numbers.
        """
    def set_programmatic(self, on: bool) -> None:
        """Whether the kernel may start while the one before it is still finishing. Off at first."""
    def record(self) -> Graph:
        """A CUDA graph of this launch, with the addresses last bound."""
    @property
    def pointers(self) -> list[list[int]]:
        """The addresses last bound: A, B, SFA, SFB, C of each group."""

class Graph:
    """A launch in a CUDA graph. Launches are recorded by the graphs of others too: torch.cuda.graph, for one."""

    def update(self, launch: Launch) -> None:
        """Takes over the addresses of a launch of the same kernel, for the replays to come."""
    def replay(self, stream: Stream = None) -> None: ...

class DeviceArray:
    """An array in device memory, rows one behind the other, for programs without a framework."""

    shape: list[int]
    dtype: str
    def data_ptr(self) -> int: ...
    def stride(self) -> list[int]: ...
    def to_host(self) -> bytes:
        """The contents, after all work of the default stream."""
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...

def to_device(contents: bytes, shape: Sequence[int], dtype: str = "uint8", device: int = 0) -> DeviceArray: ...
def from_address(address: int, shape: Sequence[int], dtype: str = "uint8", device: int = 0) -> DeviceArray:
    """An array in memory of somebody else's, who keeps it."""

def synchronize(device: int = 0) -> None:
    """Waits until all work of a device's default stream is done. Other threads of Python run meanwhile."""

def build(texts: list[tuple[str, str]], out: str, targets: list[str]) -> list[str]: ...
def verify(
    texts: list[tuple[str, str]], names: Optional[list[str]], target_name: str, seed: int, schedules: list[str]
) -> list[tuple[str, float, float, int]]: ...
def quantize(
    values: bytes, rows: int, k: int, dtype: str, tensor_scale: Optional[float]
) -> tuple[bytes, bytes, float]: ...
def dequantize(codes: bytes, scales: bytes, rows: int, k: int, tensor_scale: float) -> bytes: ...
def to_blocked(plain: bytes, rows: int, columns: int) -> bytes: ...
def to_plain(blocked: bytes, rows: int, columns: int) -> bytes: ...
