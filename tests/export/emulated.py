"""Device memory of whatever driver there is, through ctypes, and objects that look like tensors in it."""

import ctypes
import math


class Device:
    """Device 0, its primary context current."""

    def __init__(self):
        self.lib = ctypes.CDLL("libcuda.so.1")
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, name, *arguments):
        code = getattr(self.lib, name)(*arguments)
        if code:
            raise RuntimeError(f"{name} returned {code}")

    def memory(self, contents):
        """The address of new memory with these contents."""
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(len(contents), 1)))
        if contents:
            self.call("cuMemcpyHtoD_v2", address, bytes(contents), ctypes.c_size_t(len(contents)))
        return address.value

    def read(self, address, size):
        contents = ctypes.create_string_buffer(size)
        if size:
            self.call("cuMemcpyDtoH_v2", contents, ctypes.c_uint64(address), ctypes.c_size_t(size))
        return contents.raw

    def live(self, kind):
        """How many objects of a kind there are; a function of the emulated driver."""
        self.lib.ptxemu_live.restype = ctypes.c_uint64
        return self.lib.ptxemu_live(kind.encode())


class Place:
    """What torch calls a device."""

    def __init__(self, kind="cuda", index=0):
        self.type, self.index = kind, index

    def __str__(self):
        return f"{self.type}:{self.index}"


class Tensor:
    """What is asked of a tensor."""

    def __init__(self, address, dtype, shape, strides, device=None):
        self.address, self.dtype, self.shape, self.strides = address, f"torch.{dtype}", shape, strides
        self.device = device or Place()

    def data_ptr(self):
        return self.address

    def stride(self):
        return self.strides


def matrix(address, dtype, rows, columns):
    return Tensor(address, dtype, (rows, columns, 1), (columns, 1, rows * columns))


def scales(address, rows, k, dtype="float8_e4m3fn"):
    """Blocked scales as the contest hands them over: [32, 4, row blocks, 4, column blocks, 1]."""
    row_blocks, column_blocks = math.ceil(rows / 128), math.ceil(k / 64)
    strides = (16, 4, 512 * column_blocks, 1, 512, 512 * column_blocks * row_blocks)
    return Tensor(address, dtype, (32, 4, row_blocks, 4, column_blocks, 1), strides)


def data(sizes, addresses):
    """The contest's four items, from five addresses a group: A, B, SFA, SFB, C."""
    abc, factors = [], []
    for (m, n, k), (a, b, sfa, sfb, c) in zip(sizes, addresses):
        abc.append((matrix(a, "float4_e2m1fn_x2", m, k // 2), matrix(b, "float4_e2m1fn_x2", n, k // 2),
                    matrix(c, "float16", m, n)))
        factors.append((scales(sfa, m, k), scales(sfb, n, k)))
    return abc, None, factors, [(m, n, k, 1) for m, n, k in sizes]
