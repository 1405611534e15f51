"""Sets of the contest, through the package and the emulated driver, with every kind of object."""

import array
import pathlib
import tempfile
import threading
import unittest

import numpy
import nvfp4gen
from data import Call, Dlpack, Interface, Operands, Tensor

TOP = pathlib.Path(__file__).resolve().parents[2]
T5 = [(64, 128, 512), (72, 384, 512), (96, 512, 256)]
EMPTY = nvfp4gen.Set("empty-group", m=[9, 0], n=8, k=[192, 64])


class Numbers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.TemporaryDirectory()
        cls.keys = nvfp4gen.build([TOP / "shapes/contest-tests.toml", EMPTY], cls.home.name)
        cls.library = nvfp4gen.Library(cls.home.name)
        cls.kernel = cls.library.load(T5)
        random = numpy.random.default_rng(3)
        cls.operands = [Operands(*sizes, random) for sizes in T5]

    @classmethod
    def tearDownClass(cls):
        cls.home.cleanup()

    def run_with(self, wrap, checks=True):
        call = Call(self.operands, wrap)
        launch = self.kernel.prepare(checks=checks)
        self.assertIsNone(launch(call.abc, call.scales))
        self.assertEqual(sum(launch.pointers, []), call.pointers)
        call.check()

    def test_what_there_is(self):
        self.assertEqual(self.library.keys, self.keys)
        self.assertEqual(len(self.keys), 11)
        kernel = self.kernel
        facts = kernel.name, kernel.sizes, kernel.output, kernel.weights, kernel.device, kernel.notices
        self.assertEqual(facts, ("T5", T5, "f16", "static", 0, kernel.notices))
        self.assertEqual(self.library.load(kernel.key).sizes, T5)
        self.assertIn("11 kernels", repr(self.library))
        self.assertIn(kernel.key, repr(kernel))

    def test_arrays_of_ours(self):
        self.run_with(lambda array: array)
        self.run_with(lambda array: array, checks=False)

    def test_what_looks_like_a_torch_tensor(self):
        self.run_with(Tensor)
        self.run_with(Tensor, checks=False)

    def test_cuda_array_interface(self):
        self.run_with(Interface)
        self.run_with(Interface, checks=False)

    def test_dlpack(self):
        self.run_with(Dlpack)
        self.run_with(Dlpack, checks=False)

    def test_addresses(self):
        self.run_with(lambda array: array.data_ptr())

    def test_kinds_mixed_in_one_call(self):
        kinds = [Tensor, Interface, Dlpack, lambda array: array, lambda array: array.data_ptr(), type("T", (Tensor,), {})]
        turn = iter(kinds * 9)
        self.run_with(lambda array: next(turn)(array))

    def test_the_shapes_of_the_contest(self):
        def view(array):
            tensor = Tensor(array)
            if len(tensor.shape) == 2:
                tensor.shape, tensor.strides = (*tensor.shape, 1), (*tensor.strides, 7)
            else:
                m, n, k = next(sizes for sizes in T5 for rows in sizes[:2] if blocks(rows, sizes[2]) == tensor.shape[0])
                rows = next(rows for rows in (m, n) if blocks(rows, k) == tensor.shape[0])
                tensor.shape = 32, 4, -(-rows // 128), 4, k // 64, 1
                tensor.strides = 16, 4, 512 * (k // 64), 1, 512, 99
            return tensor

        def blocks(rows, k):
            return 512 * -(-rows // 128) * (k // 64)

        self.run_with(view)

    def test_pointers_collected_beforehand(self):
        for collect in (list, tuple, lambda p: array.array("Q", p), lambda p: numpy.array(p, numpy.uint64)):
            call = Call(self.operands)
            self.kernel.prepare().run(collect(call.pointers))
            call.check()

    def test_bind_then_enqueue_many_times(self):
        call, launch = Call(self.operands), self.kernel.prepare()
        launch.bind(call.abc, call.scales)
        launch.enqueue()
        launch.enqueue(0)
        call.check()

    def test_a_graph_is_given_other_addresses(self):
        first, second, launch = Call(self.operands), Call(self.operands), self.kernel.prepare()
        launch.bind(first.abc, first.scales)
        graph = launch.record()
        graph.replay()
        first.check()
        launch.bind(second.abc, second.scales)
        graph.update(launch)
        graph.replay(stream=0)
        second.check()

    def test_a_group_without_tokens_may_have_anything(self):
        operands = Operands(9, 8, 192, numpy.random.default_rng(4))
        launch = self.library.load([(9, 8, 192), (0, 8, 64)]).prepare()
        call = Call([operands])
        launch(call.abc + [(None, None, None)], call.scales + [(None, None)])
        call.check()

    def test_threads_with_launches_of_their_own(self):
        failures = []

        def work():
            try:
                self.run_with(Tensor)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


class Verify(unittest.TestCase):
    def test_verdicts(self):
        verdicts = nvfp4gen.verify(TOP / "shapes/contest-tests.toml", ["T1", "T8"])
        self.assertEqual([verdict.name for verdict in verdicts], ["T1", "T8"])
        self.assertEqual(verdicts[0].elements, 96 * 128 + 128 * 256)
        for verdict in verdicts:
            self.assertTrue(0 < verdict.max_ulps and 0 < verdict.max_ratio <= 1, verdict)

    def test_a_set_written_in_python(self):
        [verdict] = nvfp4gen.verify(nvfp4gen.Set("mine", [5], 8, 64), schedules=["random:3"], seed=9)
        self.assertEqual((verdict.name, verdict.elements), ("mine", 40))


if __name__ == "__main__":
    unittest.main()
