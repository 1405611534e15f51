"""With torch and a GPU: python -m unittest discover --start-directory python/tests_gpu, the package installed.

The kernels do nothing (those of bench/overhead), so any GPU will do. If NVFP4GEN_LIBRARY names a library with kernels for
this GPU, their numbers are held to torch's as well.
"""

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
            ((a, b, torch.empty_like(c.squeeze(2).T).T.unsqueeze(2)), ValueError, "group 0, C: its strides are"),
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


@unittest.skipUnless("NVFP4GEN_LIBRARY" in os.environ, "NVFP4GEN_LIBRARY names no library for this GPU")
class Numbers(unittest.TestCase):
    def test_against_torch(self):
        made = nvfp4gen.Library(os.environ["NVFP4GEN_LIBRARY"])
        random = torch.Generator().manual_seed(0)
        for key in made.keys:
            kernel = made.load(key)
            abc, scales, expected = [], [], []
            for m, n, k in kernel.sizes:
                q = [nvfp4gen.quantize(torch.randn(rows, k, generator=random).numpy()) for rows in (m, n)]
                a, b = (torch.from_numpy(x.codes.copy()).cuda() for x in q)
                sfa, sfb = (torch.from_numpy(x.blocked.copy()).cuda() for x in q)
                abc.append((a, b, torch.full((m, n), float("nan"), dtype=torch.float16, device="cuda")))
                scales.append((sfa, sfb))
                x, y = (torch.from_numpy(nvfp4gen.dequantize(z).copy()).double() for z in q)
                expected.append(x @ y.T)
            kernel.prepare()(abc, scales)
            for (_, _, c), wanted in zip(abc, expected):
                torch.testing.assert_close(c.double().cpu(), wanted, rtol=2e-3, atol=2e-2)


if __name__ == "__main__":
    unittest.main()
