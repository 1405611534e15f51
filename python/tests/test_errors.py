"""What users are told. Each message says where, and what to do."""

import tempfile
import unittest

import numpy
import nvfp4gen
from data import Call, Operands, Place, Tensor

SIZES = [(9, 8, 192), (0, 8, 64), (16, 24, 64)]


class Errors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.TemporaryDirectory()
        nvfp4gen.build(nvfp4gen.Set("small", *zip(*SIZES)), cls.home.name)
        cls.library = nvfp4gen.Library(cls.home.name)
        cls.kernel = cls.library.load(SIZES)

    @classmethod
    def tearDownClass(cls):
        cls.home.cleanup()

    def setUp(self):
        random = numpy.random.default_rng(1)
        call = Call([Operands(max(m, 1), n, k, random) for m, n, k in SIZES], Tensor)
        self.call, self.abc, self.scales = call, call.abc, call.scales
        self.launch = self.kernel.prepare()

    def message(self, kind, function=None, *arguments):
        with self.assertRaises(kind) as caught:
            if function is None:
                self.launch(self.abc, self.scales)
            else:
                function(*arguments)
        return str(caught.exception)

    def test_nothing_is_wrong(self):
        self.launch(self.abc, self.scales)

    def test_type(self):
        self.abc[2][1].dtype = "torch.float16"
        self.assertEqual(
            self.message(TypeError), "group 2, B: its type is float16; it must be float4_e2m1fn_x2 or uint8 or int8"
        )
        self.abc[2][1].dtype = "torch.qint8"
        self.assertEqual(self.message(TypeError), "group 2, B: its type torch.qint8 is not known here")

    def test_type_of_output(self):
        self.abc[0][2].dtype = "torch.bfloat16"
        self.assertEqual(self.message(TypeError), "group 0, C: its type is bfloat16; it must be float16")

    def test_type_of_scales(self):
        self.scales[0][0].dtype = "torch.float8_e8m0fnu"
        self.assertEqual(
            self.message(TypeError),
            "group 0, SFA: its type is float8_e8m0fnu; it must be float8_e4m3fn or uint8 or int8",
        )

    def test_strides(self):
        self.abc[0][0].strides = (1, 9)
        self.assertEqual(
            self.message(ValueError),
            "group 0, A: its strides are [1, 9]; they must be [96, 1]: rows one behind the other; use contiguous()",
        )

    def test_shape(self):
        self.abc[0][0].shape = (9, 192)
        self.assertEqual(self.message(ValueError), "group 0, A: its shape is [9, 192]; it must be [9, 96]")

    def test_scales_in_plain_form(self):
        self.scales[0][1].shape, self.scales[0][1].strides = (8, 12), (12, 1)
        self.assertEqual(
            self.message(ValueError),
            "group 0, SFB: its shape is [8, 12]; blocked scales are [1536] or [32, 4, 1, 4, 3, 1]; nvfp4gen.to_blocked "
            "makes them from plain ones",
        )

    def test_scales_in_another_order(self):
        self.scales[0][1].shape, self.scales[0][1].strides = (32, 4, 1, 4, 3, 1), (48, 12, 1536, 3, 1, 1536)
        self.assertEqual(
            self.message(ValueError),
            "group 0, SFB: its strides are [48, 12, 1536, 3, 1, 1536]; they must be [16, 4, 1536, 1, 512]: blocks of "
            "128 x 4, along K first",
        )

    def test_cpu(self):
        self.abc[2][2].device = Place("cpu", None)
        self.assertEqual(self.message(ValueError), "group 2, C: it is on the CPU; move it to GPU 0")
        self.abc[0] = (numpy.zeros((9, 96), numpy.uint8), *self.abc[0][1:])
        self.assertEqual(self.message(ValueError), "group 0, A: it is on the CPU; move it to GPU 0")

    def test_another_gpu(self):
        self.abc[0][0].device = Place(index=1)
        self.assertEqual(
            self.message(ValueError), "group 0, A: it is on GPU 1, and the kernel on GPU 0; load the kernel there, or move it"
        )

    def test_no_tensor(self):
        self.abc[0] = (None, *self.abc[0][1:])
        self.assertEqual(
            self.message(TypeError),
            "group 0, A: a NoneType is no tensor: it has neither data_ptr() nor __cuda_array_interface__ nor __dlpack__, "
            "and is no address",
        )

    def test_a_tensor_that_fails(self):
        def data_ptr():
            raise RuntimeError("no storage")

        self.abc[0][0].data_ptr = data_ptr
        self.assertEqual(self.message(TypeError), "group 0, A: no storage")

    def test_addresses(self):
        self.abc[0][0].address += 8
        self.assertRegex(
            self.message(ValueError), "^group 0: the address of A, 0x[0-9a-f]+, is not a multiple of 16; allocate or slice so"
        )
        self.abc[0][0].address = 0
        self.assertIn("group 0: the address of A is null", self.message(ValueError))
        self.abc[0][0].address = -1
        self.assertIn("group 0, A: ", self.message(TypeError))

    def test_two_outputs_in_one_place(self):
        self.abc[2][2].address = self.abc[0][2].address
        self.assertIn("groups 0 and 2 have the same output", self.message(ValueError))

    def test_lists(self):
        self.assertEqual(
            self.message(ValueError, self.launch, self.abc[:2], self.scales),
            "the kernel has 3 groups, and was given A, B and C of 2 and scales of 3; groups without tokens have a place too",
        )
        self.assertEqual(
            self.message(TypeError, self.launch, 7, self.scales), "A, B and C are given as a list or a tuple, and not as a int"
        )
        self.scales[1] = (1, 2, 3)
        self.assertEqual(self.message(ValueError), "group 1: (SFA, SFB) are 2 operands, and 3 were given")
        self.scales[1] = None
        self.assertEqual(
            self.message(TypeError), "group 1: (SFA, SFB) are given as a list or a tuple, and not as a NoneType"
        )

    def test_collected_addresses(self):
        run = self.launch.run
        self.assertEqual(
            self.message(ValueError, run, [16] * 14),
            "3 groups have 15 addresses (A, B, SFA, SFB, C of each), and 14 were given",
        )
        self.assertIn("and 16 were given", self.message(ValueError, run, numpy.zeros(16, numpy.uint64)))
        self.assertIn("64-bit integers", self.message(TypeError, run, numpy.zeros(15, numpy.float64)))
        self.assertIn("group 1, B: ", self.message(TypeError, run, [16] * 6 + ["x"] + [16] * 8))

    def test_streams(self):
        self.assertEqual(
            self.message(TypeError, self.launch, self.abc, self.scales, "fast"),
            "a str is no stream: give a handle, a torch stream, or an object with __cuda_stream__",
        )

    def test_missing_set(self):
        self.assertEqual(
            self.message(nvfp4gen.MissingSet, self.library.load, [(9, 8, 256), (4, 8, 64)]),
            "the library has no kernel g2_m9-4_n8_k256-64_f16_static; nearest are:\n"
            "  g3_m9-0-16_n8-8-24_k192-64-64_f16_static (small)\n"
            "to have it, add this to a shape file and run `nvfp4gen build`:\n"
            '[[set]]\nname = "new"\nm = [9, 4]\nn = 8\nk = [256, 64]\noutput = "f16"\nweights = "static"\n',
        )
        self.assertTrue(issubclass(nvfp4gen.MissingSet, LookupError))

    def test_what_is_asked_of_a_library(self):
        load = self.library.load
        self.assertEqual(self.message(ValueError, load, [(1, 2)]), "sizes of a group are (M, N, K), and not [1, 2]")
        self.assertIn("by its key, or by (M, N, K)", self.message(TypeError, load, 5))
        with self.assertRaisesRegex(ValueError, 'output is "f64"; it can be "f16" or "bf16" or "f32"'):
            load(SIZES, output="f64")
        with self.assertRaisesRegex(nvfp4gen.Error, "there is no device 3"):
            load(SIZES, device=3)
        self.assertIn("/nowhere", self.message(nvfp4gen.Error, nvfp4gen.Library, "/nowhere"))

    def test_unbound(self):
        self.assertIn("call bind first", self.message(nvfp4gen.Error, self.launch.enqueue))
        self.assertIn("call bind first", self.message(nvfp4gen.Error, self.launch.record))

    def test_a_failed_bind_leaves_nothing_bound(self):
        self.launch.bind(self.abc, self.scales)
        self.abc[0][0].address = 8
        self.message(ValueError)
        self.assertIn("call bind first", self.message(nvfp4gen.Error, self.launch.enqueue))

    def test_early_start(self):
        if self.kernel.is_programmatic:
            self.launch.set_programmatic(True)
            self.launch(self.abc, self.scales)
        else:
            self.assertIn("griddepcontrol.wait", self.message(nvfp4gen.Error, self.launch.set_programmatic, True))

    def test_shapes(self):
        message = self.message(ValueError, nvfp4gen.build, nvfp4gen.Set("odd", [1], 9, 65), self.home.name)
        self.assertIn("set 'odd'", message)
        self.assertRegex(message, "multiple of 8(.|\n)*multiple of 64")
        self.assertIn("no set is called `x`", self.message(ValueError, nvfp4gen.verify, nvfp4gen.Set("a", [1], 8, 64), ["x"]))
        with self.assertRaisesRegex(ValueError, 'the schedule is "never"'):
            nvfp4gen.verify(nvfp4gen.Set("a", [1], 8, 64), schedules=["never"])
        with self.assertRaises(FileNotFoundError):
            nvfp4gen.verify("/nowhere.toml")


if __name__ == "__main__":
    unittest.main()
