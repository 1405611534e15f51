"""With torch and a GPU: python -m unittest discover --start-directory python/tests_gpu, the package installed.

The kernels do nothing (those of bench/overhead), so any GPU will do. If NVFP4GEN_LIBRARY names a library with kernels for
this GPU, their numbers are held to torch's as well; if NVFP4GEN_SUBMISSION names an exported submission, its too.
"""

import importlib.util
import os
import pathlib
import sys
import tempfile
import unittest

import torch

import nvfp4gen
import nvfp4gen.torch

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench/overhead"))

import library  # noqa: E402
import on_gpu  # noqa: E402
import shapes  # noqa: E402

SIZES = [size[:3] for size in shapes.sizes("P4")]


def operands():
    [call] = shapes.calls("P4", on_gpu.tensor, 1)
    return call


class Launches(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.TemporaryDirectory()
        library.write(cls.home.name)
        cls.library = nvfp4gen.Library(cls.home.name)
        cls.kernel = cls.library.load(SIZES)
        nvfp4gen.torch.use(cls.library)

    @classmethod
    def tearDownClass(cls):
        cls.home.cleanup()

    def test_tensors_of_the_contest(self):
        abc, scales = operands()
        launch = self.kernel.prepare()
        launch(abc, scales)
        torch.cuda.synchronize()
        pointers = [t.data_ptr() for (a, b, c), (sfa, sfb) in zip(abc, scales) for t in (a, b, sfa, sfb, c)]
        self.assertEqual([address for group in launch.pointers for address in group], pointers)

    def test_streams(self):
        abc, scales = operands()
        launch, stream = self.kernel.prepare(), torch.cuda.Stream()
        launch(abc, scales, stream)
        launch(abc, scales, stream=stream.cuda_stream)
        with torch.cuda.stream(stream):
            launch(abc, scales)
        stream.synchronize()

    def test_captured_by_torch(self):
        """Into the capturing stream, which is the current one, and no other: else the capture would fail or be empty."""
        abc, scales = operands()
        launch = self.kernel.prepare()
        launch(abc, scales)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            launch(abc, scales)
            enqueued = torch.cuda.is_current_stream_capturing()
        self.assertTrue(enqueued)
        graph.replay()
        torch.cuda.synchronize()

    def test_messages(self):
        abc, scales = operands()
        launch = self.kernel.prepare()
        a, b, c = abc[0]
        for wrong, kind, message in (
            ((a.cpu(), b, c), ValueError, "group 0, A: it is on the CPU; move it to GPU 0"),
            ((a, b, c.float()), TypeError, "group 0, C: its type is float32; it must be float16"),
            ((a, b[::2], c), ValueError, "group 0, B: its shape is"),
            ((a, b, c.squeeze(2).T.contiguous().T.unsqueeze(2)), ValueError, "group 0, C: its strides are"),
        ):
            with self.assertRaisesRegex(kind, f"^{message}".replace("(", r"\(")):
                launch([wrong, *abc[1:]], scales)

    def test_operator(self):
        abc, scales = operands()
        a, b = ([t.squeeze(2).view(torch.uint8) for t in side] for side in list(zip(*abc))[:2])
        sfa, sfb = ([t.view(torch.uint8) for t in side] for side in zip(*scales))

        def layer(a, b, sfa, sfb):
            return [c.float() for c in torch.ops.nvfp4gen.grouped_gemm(a, b, sfa, sfb)]

        compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
        for out in (layer(a, b, sfa, sfb), compiled(a, b, sfa, sfb)):
            self.assertEqual([tuple(c.shape) for c in out], [(m, n) for m, n, _ in SIZES])
        torch.library.opcheck(torch.ops.nvfp4gen.grouped_gemm.default, (a, b, sfa, sfb), test_utils=("test_schema", "test_faketensor"))


def problem(sizes, random):
    """Quantised operands of a set on the GPU, and what they should give."""
    abc, scales, expected = [], [], []
    for m, n, k in sizes:
        q = [nvfp4gen.quantize(torch.randn(rows, k, generator=random).numpy()) for rows in (m, n)]
        a, b = (torch.from_numpy(x.codes.copy()).cuda() for x in q)
        sfa, sfb = (torch.from_numpy(x.blocked.copy()).cuda() for x in q)
        abc.append((a, b, torch.full((m, n), float("nan"), dtype=torch.float16, device="cuda")))
        scales.append((sfa, sfb))
        x, y = (torch.from_numpy(nvfp4gen.dequantize(z).copy()).double() for z in q)
        expected.append(x @ y.T)
    return abc, scales, expected


def check(abc, expected):
    for (_, _, c), wanted in zip(abc, expected, strict=True):
        got = c.reshape(wanted.shape).double().cpu()
        torch.testing.assert_close(got, wanted, rtol=2e-3, atol=2e-2)


@unittest.skipUnless("NVFP4GEN_LIBRARY" in os.environ, "NVFP4GEN_LIBRARY names no library for this GPU")
class Numbers(unittest.TestCase):
    def test_against_torch(self):
        made = nvfp4gen.Library(os.environ["NVFP4GEN_LIBRARY"])
        random = torch.Generator().manual_seed(0)
        for key in made.keys:
            kernel = made.load(key)
            abc, scales, expected = problem(kernel.sizes, random)
            kernel.prepare()(abc, scales)
            check(abc, expected)


@unittest.skipUnless("NVFP4GEN_SUBMISSION" in os.environ, "NVFP4GEN_SUBMISSION names no submission for this GPU")
class Submission(unittest.TestCase):
    """The exported file as the contest calls it, by both of its hosts."""

    def call(self, host):
        os.environ["NVFP4GEN_HOST"] = host
        spec = importlib.util.spec_from_file_location(f"submission_{host}", os.environ["NVFP4GEN_SUBMISSION"])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        random = torch.Generator().manual_seed(1)
        for name in ("P1", "P2", "P3", "P4"):
            sizes = [size[:3] for size in shapes.sizes(name)]
            abc, scales, expected = problem(sizes, random)
            outputs = module.custom_kernel(as_the_contest(abc, scales, shapes.sizes(name)))
            check([(None, None, c) for c in outputs], expected)
            self.assertEqual([c.data_ptr() for c in outputs], [c.data_ptr() for _, _, c in abc])

    def test_ctypes(self):
        self.call("ctypes")

    def test_cpp(self):
        self.call("cpp")


def as_the_contest(abc, scales, sizes):
    """The same storage behind the contest's types and shapes."""
    fp4, fp8 = torch.float4_e2m1fn_x2, torch.float8_e4m3fn

    def matrix(t, dtype):
        return t.view(dtype).unsqueeze(0).permute(1, 2, 0)

    def blocked(t, rows, k):
        lead = (1, -(-rows // 128), k // 64, 32, 4, 4)
        return t.reshape(lead).view(fp8).permute(3, 4, 1, 5, 2, 0)

    triples = [(matrix(a, fp4), matrix(b, fp4), matrix(c, torch.float16)) for a, b, c in abc]
    pairs = [(blocked(sfa, m, k), blocked(sfb, n, k)) for (sfa, sfb), (m, n, k, *_) in zip(scales, sizes, strict=True)]
    return triples, None, pairs, sizes

if __name__ == "__main__":
    unittest.main()
