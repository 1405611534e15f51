"""Operands of a set, the exact C, and objects of all kinds that lead to device memory."""

import ctypes

import numpy
import nvfp4gen

E2M1 = numpy.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
# Exponent and mantissa of E4M3, by its definition.
E4M3 = numpy.array([(c % 8) * 2.0**-9 if c < 8 else (8 + c % 8) * 2.0 ** (c // 8 - 10) for c in range(127)])


class Operands:
    """Random operands of a group over all E2M1 codes and many scales; `exact` is C, exact in float64 up to K = 512."""

    def __init__(self, m, n, k, random):
        self.sizes = m, n, k
        self.a, self.b = (random.integers(0, 256, (rows, k // 2), numpy.uint8) for rows in (m, n))
        # Scales from 2^-6 to 4, so that no sum leaves f16.
        self.sfa, self.sfb = (random.integers(0x08, 0x40, (rows, k // 16), numpy.uint8) for rows in (m, n))
        a, b = plain(self.a, self.sfa), plain(self.b, self.sfb)
        self.exact = a @ b.T
        self.magnitude = numpy.abs(a) @ numpy.abs(b).T

    def arrays(self):
        """A, B, SFA, SFB as kernels take them, and an output of NaN."""
        m, n, _ = self.sizes
        c = numpy.full((m, n), numpy.nan, numpy.float16)
        return self.a, self.b, nvfp4gen.to_blocked(self.sfa), nvfp4gen.to_blocked(self.sfb), c

    def check(self, c):
        """Half an ulp of f16 for the rounding, and 2^-20 of the sum of magnitudes for accumulation in 24 bits."""
        c = c.astype(numpy.float64)
        ulp = numpy.spacing(numpy.abs(self.exact).astype(numpy.float16)).astype(numpy.float64)
        permitted = ulp / 2 * (1 + 2**-10) + self.magnitude * 2**-20
        worst = numpy.max(numpy.abs(c - self.exact) / permitted, initial=0)
        assert worst <= 1, f"{worst} times what is permitted"


def plain(codes, scales):
    elements = E2M1[numpy.stack([codes & 15, codes >> 4], -1).reshape(len(codes), -1)]
    return elements * numpy.repeat(E4M3[scales], 16, axis=1)


class Device(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int32), ("index", ctypes.c_int32)]


class Dtype(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class Managed(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", Device),
        ("ndim", ctypes.c_int32),
        ("dtype", Dtype),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    ]


CAPSULE = ctypes.pythonapi.PyCapsule_New
CAPSULE.restype, CAPSULE.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class Dlpack:
    """An array as a library hands it over that has nothing but __dlpack__."""

    def __init__(self, array):
        code, bits = {"uint8": (1, 8), "float16": (2, 16)}[array.dtype]
        self.array, self.shape = array, (ctypes.c_int64 * len(array.shape))(*array.shape)
        # The address is split, to have an offset.
        self.managed = Managed(
            array.data_ptr() - 64, Device(2, 0), len(array.shape), Dtype(code, bits, 1), self.shape, None, 64, None, None
        )

    def __dlpack__(self, stream=None):
        assert stream == -1, "no synchronisation is asked for"
        return CAPSULE(ctypes.addressof(self.managed), b"dltensor", None)


class Interface:
    """An array as numba or cupy hand it over."""

    def __init__(self, array):
        self.array = array

    @property
    def __cuda_array_interface__(self):
        return self.array.__cuda_array_interface__


class Place:
    """What torch calls a device."""

    def __init__(self, kind="cuda", index=0):
        self.type, self.index = kind, index


class Tensor:
    """What a tensor of torch says of itself in Python."""

    def __init__(self, array):
        self.address, self.shape, self.strides = array.data_ptr(), tuple(array.shape), tuple(array.stride())
        self.dtype, self.device = f"torch.{array.dtype}", Place()

    def data_ptr(self):
        return self.address

    def stride(self):
        return self.strides


class Call:
    """The operands of a set in device memory, wrapped."""

    def __init__(self, operands, wrap=lambda array: array):
        self.operands = operands
        self.arrays = [[nvfp4gen.to_device(array) for array in group.arrays()] for group in operands]
        wrapped = [[wrap(array) for array in group] for group in self.arrays]
        self.abc = [(a, b, c) for a, b, _, _, c in wrapped]
        self.scales = [(sfa, sfb) for _, _, sfa, sfb, _ in wrapped]
        self.pointers = [array.data_ptr() for group in self.arrays for array in group]

    def check(self):
        for group, arrays in zip(self.operands, self.arrays):
            m, n, _ = group.sizes
            group.check(numpy.frombuffer(arrays[4].to_host(), numpy.float16).reshape(m, n))
