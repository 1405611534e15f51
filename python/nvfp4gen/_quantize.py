"""Ordinary arrays to NVFP4 and back. Arrays are numpy's, which is imported when it is needed."""

from typing import Any, NamedTuple, Union

from . import _native


class Quantized(NamedTuple):
    """A matrix in NVFP4: element times its block's scale times the tensor scale."""

    codes: Any
    """uint8 [rows, K/2]: two E2M1 codes a byte, the first in the low nibble."""
    scales: Any
    """uint8 [rows, K/16]: E4M3 codes, plain form."""
    tensor_scale: float
    """A product of two matrices is to be multiplied with both of theirs: kernels know nothing of them."""

    @property
    def blocked(self) -> Any:
        """uint8 [512 * ceil(rows/128) * ceil(K/64)]: the scales as kernels take them."""
        return to_blocked(self.scales)


def quantize(values: Any, *, tensor_scale: Union[float, str, None] = None) -> Quantized:
    """A matrix [rows, K] of float32, float16 or bfloat16 in NVFP4. K is a multiple of 16 (of 64 for kernels).

    The scale of 16 elements is their largest magnitude over 6, rounded to E4M3; each element over it is rounded to E2M1;
    to nearest, ties to even. `tensor_scale` is a number that everything is divided by first, or "auto": the largest
    magnitude over 6 * 448, which uses the whole range of E4M3. C is float16: if both operands do that, products of long
    rows overflow; the largest magnitude over 6 for one of them, and no tensor scale for the other, is safer. bfloat16 is that of ml_dtypes. float64 is refused: convert it, so that the rounding is yours.
    ValueError: an infinity, a NaN, other shapes.
    """
    import numpy

    values = numpy.ascontiguousarray(values)
    rows, k = _matrix(values)
    scale = {None: 1.0, "auto": None}.get(tensor_scale, tensor_scale)
    parts = _native.quantize(_bytes(values), rows, k, str(values.dtype), scale)
    codes = numpy.frombuffer(parts[0], numpy.uint8).reshape(rows, k // 2)
    scales = numpy.frombuffer(parts[1], numpy.uint8).reshape(rows, k // 16)
    return Quantized(codes, scales, parts[2])


def dequantize(codes: Any, scales: Any = None, tensor_scale: float = 1.0) -> Any:
    """The float32 matrix [rows, K] that codes [rows, K/2] and plain scales [rows, K/16] stand for.

    `dequantize(quantized)` takes all three from a Quantized.
    """
    import numpy

    if isinstance(codes, Quantized):
        codes, scales, tensor_scale = codes
    rows, half = _matrix(codes)
    done = _native.dequantize(_bytes(codes), _bytes(scales), rows, 2 * half, tensor_scale)
    return numpy.frombuffer(done, numpy.float32).reshape(rows, 2 * half)


def to_blocked(scales: Any) -> Any:
    """Plain scales [rows, K/16] in blocked form: uint8 [512 * ceil(rows/128) * ceil(K/64)], the padding zero.

    The scale of row r and scale column c is at ((r/128) * ceil(K/64) + c/4) * 512 + r%32 * 16 + r%128/32 * 4 + c%4.
    """
    import numpy

    rows, columns = _matrix(scales)
    return numpy.frombuffer(_native.to_blocked(_bytes(scales), rows, columns), numpy.uint8)


def to_plain(blocked: Any, rows: int, columns: int) -> Any:
    """Blocked scales in plain form: uint8 [rows, columns]."""
    import numpy

    return numpy.frombuffer(_native.to_plain(_bytes(blocked), rows, columns), numpy.uint8).reshape(rows, columns)


def to_device(array: Any, device: int = 0) -> _native.DeviceArray:
    """A copy of a numpy array in device memory, for programs without a framework."""
    import numpy

    array = numpy.ascontiguousarray(array)
    return _native.to_device(_bytes(array), list(array.shape), str(array.dtype), device)


def _matrix(array):
    if array.ndim != 2:
        raise ValueError(f"a matrix is needed, and the array has shape {array.shape}")
    return array.shape


def _bytes(array):
    import numpy

    # Types that numpy only knows by extension, such as bfloat16, have no buffer: their bytes have.
    return numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8).tobytes()
