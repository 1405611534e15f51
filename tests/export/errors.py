"""What an exported submission says of tensors that it cannot take: errors.py SUBMISSION.

Its first set is (M, N, K) = (9, 8, 192), (0, 8, 64).
"""

import ast
import importlib.util
import inspect
import sys
import unittest

import emulated

PATH = sys.argv.pop()
SPEC = importlib.util.spec_from_file_location("submission", PATH)
SUBMISSION = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SUBMISSION)
SIZES = ((9, 8, 192), (0, 8, 64))


class Rules(unittest.TestCase):
    """Those of the contest."""

    def test_one_function_of_one_argument(self):
        self.assertEqual(str(inspect.signature(SUBMISSION.custom_kernel)), "(data)")

    def test_letters(self):
        with open(PATH, encoding="ascii") as file:
            self.assertNotIn("str" + "eam", file.read().lower())

    def test_one_file(self):
        with open(PATH, encoding="ascii") as file:
            tree = ast.parse(file.read())
        names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        foreign = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
        self.assertEqual(foreign, {"torch"})


class Errors(unittest.TestCase):
    def setUp(self):
        addresses = [[0x1000 * (5 * group + operand + 1) for operand in range(5)] for group in range(2)]
        self.data = emulated.data(SIZES, addresses)
        self.abc, _, self.scales, self.sizes = self.data

    def message(self, kind):
        with self.assertRaises(kind) as caught:
            SUBMISSION.custom_kernel(self.data)
        return str(caught.exception)

    def test_missing_set(self):
        self.sizes[0] = (10, 8, 192, 1)
        self.assertEqual(
            self.message(LookupError),
            "no kernel for the sizes 10x8x192, 0x8x64 (M x N x K of each group) in this file, which has:\n"
            "  small: 9x8x192, 0x8x64\n  T1: 96x128x256, 128x256x512\n"
            "add them to the shape file and export again:\n"
            '[[set]]\nname = "new"\nm = [10, 0]\nn = [8, 8]\nk = [192, 64]',
        )

    def test_type(self):
        self.abc[0][0].dtype = "torch.float16"
        self.assertEqual(
            self.message(TypeError), "group 0, A: its type is float16; it must be float4_e2m1fn_x2 or uint8 or int8"
        )

    def test_type_of_output(self):
        self.abc[0][2].dtype = "torch.bfloat16"
        self.assertEqual(self.message(TypeError), "group 0, C: its type is bfloat16; it must be float16")

    def test_type_of_scales(self):
        self.scales[0][1].dtype = "torch.float8_e5m2"
        self.assertEqual(
            self.message(TypeError), "group 0, SFB: its type is float8_e5m2; it must be float8_e4m3fn or uint8 or int8"
        )

    def test_stride(self):
        self.abc[0][1].strides = (1, 8, 768)
        self.assertEqual(
            self.message(ValueError),
            "group 0, B: dimension 0 has stride 1, it must be 96: rows must lie one behind the other",
        )

    def test_stride_of_scales(self):
        self.scales[0][0].strides = (4, 128, 1536, 1, 512, 1536)
        self.assertEqual(
            self.message(ValueError),
            "group 0, SFA: dimension 0 has stride 4, it must be 16: blocks of 128 x 4 must lie one behind the other, "
            "along K first",
        )

    def test_shape(self):
        self.abc[0][0].shape = (9, 192, 1)
        self.assertEqual(self.message(ValueError), "group 0, A: its shape is (9, 192, 1); it must be (9, 96, 1)")

    def test_cpu(self):
        self.abc[0][2].device = emulated.Place("cpu")
        self.assertEqual(
            self.message(ValueError), "group 0, C: it is on the device cpu:0; move it to the GPU"
        )

    def test_two_gpus(self):
        self.scales[0][0].device = emulated.Place(index=1)
        self.assertEqual(
            self.message(ValueError), "group 0, SFA: it is on GPU 1, others of this call are on GPU 0"
        )

    def test_address(self):
        self.abc[0][1].address = 0x2008
        self.assertEqual(
            self.message(ValueError), "group 0, B: its address 0x2008 is null or not a multiple of 16"
        )

    def test_groups(self):
        del self.abc[1]
        self.assertEqual(self.message(ValueError), "2 groups by their sizes, and tensors of 1, scales of 2")

    def test_layers(self):
        self.sizes[0] = (9, 8, 192, 2)
        self.assertEqual(
            self.message(ValueError), "group 0: sizes must be (M, N, K, 1), and are (9, 8, 192, 2)"
        )

    def test_nothing_is_looked_at_in_a_group_without_tokens(self):
        self.abc[1] = (None, None, None)
        device = SUBMISSION._check(SUBMISSION.KERNELS[0], self.abc, self.scales)
        self.assertEqual(device, 0)


unittest.main()
