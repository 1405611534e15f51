"""Quantisation against what its documentation says, computed here with numpy."""

import unittest

import ml_dtypes
import numpy
import nvfp4gen
from data import E2M1, E4M3


def expected(values, tensor_scale):
    """The plain way: nearest of all values, ties to the even code."""
    values = values.astype(numpy.float32)
    scale_codes = numpy.zeros((len(values), values.shape[1] // 16), numpy.uint8)
    codes = numpy.zeros(values.shape, numpy.uint8)
    for row, column in numpy.ndindex(scale_codes.shape):
        block = values[row, 16 * column : 16 * column + 16]
        largest = numpy.max(numpy.abs(block))
        if largest == 0:
            continue
        code = max(nearest(E4M3, largest / numpy.float32(6) / numpy.float32(tensor_scale)), 1)
        unit = numpy.float32(E4M3[code]) * numpy.float32(tensor_scale)
        scale_codes[row, column] = code
        for i, value in enumerate(block):
            sign = 8 * bool(numpy.signbit(value))
            codes[row, 16 * column + i] = nearest(E2M1[:8], abs(value / unit)) + sign
    return codes[:, ::2] | codes[:, 1::2] << 4, scale_codes


def nearest(table, value):
    distances = numpy.abs(table - float(value))
    codes = numpy.flatnonzero(distances == distances.min())
    return int(next((code for code in codes if code % 2 == 0), codes[0]))


class Quantize(unittest.TestCase):
    def setUp(self):
        random = numpy.random.default_rng(5)
        self.values = (random.standard_normal((7, 128)) * 10.0 ** random.integers(-3, 3, (7, 1))).astype(numpy.float32)

    def test_nearest(self):
        for dtype in (numpy.float32, numpy.float16, ml_dtypes.bfloat16):
            values = self.values.astype(dtype)
            done = nvfp4gen.quantize(values)
            codes, scales = expected(values, 1)
            numpy.testing.assert_array_equal(done.scales, scales)
            numpy.testing.assert_array_equal(done.codes, codes)
            self.assertEqual((done.codes.shape, done.scales.shape, done.tensor_scale), ((7, 64), (7, 8), 1.0))

    def test_tensor_scale(self):
        done = nvfp4gen.quantize(self.values, tensor_scale="auto")
        largest = numpy.max(numpy.abs(self.values))
        self.assertAlmostEqual(done.tensor_scale, largest / 2688, delta=1e-6 * largest)
        codes, scales = expected(self.values, done.tensor_scale)
        numpy.testing.assert_array_equal(done.scales, scales)
        numpy.testing.assert_array_equal(done.codes, codes)
        self.assertEqual(nvfp4gen.quantize(self.values, tensor_scale=0.25).tensor_scale, 0.25)

    def test_back(self):
        done = nvfp4gen.quantize(self.values, tensor_scale="auto")
        back = nvfp4gen.dequantize(done)
        elements = numpy.stack([done.codes & 15, done.codes >> 4], -1).reshape(7, -1)
        scales = numpy.repeat(E4M3[done.scales].astype(numpy.float32) * numpy.float32(done.tensor_scale), 16, 1)
        numpy.testing.assert_array_equal(back, E2M1[elements].astype(numpy.float32) * scales)
        # Half of the widest step, from 4 to 6, and half an ulp of the scale.
        blocks = numpy.repeat(numpy.abs(self.values).reshape(7, 8, 16).max(-1), 16, 1)
        self.assertLessEqual(numpy.max(numpy.abs(back - self.values) / blocks), 1 / 6 + 1 / 16)
        numpy.testing.assert_array_equal(nvfp4gen.dequantize(*done), back)

    def test_blocked(self):
        scales = numpy.arange(130 * 6, dtype=numpy.uint32).reshape(130, 6).astype(numpy.uint8)
        blocked = nvfp4gen.to_blocked(scales)
        self.assertEqual(blocked.shape, (2 * 2 * 512,))
        padded = numpy.zeros((256, 8), numpy.uint8)
        padded[:130, :6] = scales
        # [row block, row / 32, row % 32, column block, column] to [row block, column block, row % 32, row / 32, column]
        view = padded.reshape(2, 4, 32, 2, 4).transpose(0, 3, 2, 1, 4)
        numpy.testing.assert_array_equal(blocked, view.reshape(-1))
        numpy.testing.assert_array_equal(nvfp4gen.to_plain(blocked, 130, 6), scales)

    def test_arrays_that_are_not_contiguous(self):
        done = nvfp4gen.quantize(numpy.asfortranarray(self.values))
        numpy.testing.assert_array_equal(done.codes, nvfp4gen.quantize(self.values).codes)
        self.assertEqual(nvfp4gen.quantize(numpy.zeros((0, 64), numpy.float32)).codes.shape[0], 0)

    def test_refusals(self):
        self.values[3, 17] = numpy.inf
        for error, values, options in (
            ("row 3, column 17 is not a finite number", self.values, {}),
            ("K = 17: rows must be whole blocks of 16", numpy.zeros((2, 17), numpy.float32), {}),
            ("a matrix is needed, and the array has shape", numpy.zeros(16, numpy.float32), {}),
            ("the tensor scale -1 is not", numpy.zeros((1, 16), numpy.float32), {"tensor_scale": -1}),
        ):
            with self.assertRaisesRegex(ValueError, error):
                nvfp4gen.quantize(values, **options)
        with self.assertRaisesRegex(TypeError, "numbers of type float64 cannot be quantised"):
            nvfp4gen.quantize(numpy.zeros((1, 16)))


if __name__ == "__main__":
    unittest.main()
