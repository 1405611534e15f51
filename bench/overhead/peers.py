"""What others pay for a launch of the same parameter block: ctypes, and NVIDIA's cuda-bindings if it is installed.

Each peer is (name, function, argument tuples).
"""

import ctypes

from shapes import BLOCK, words_of


class Config(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("count", ctypes.c_uint),
    ]


def of_ctypes(driver, function, calls):
    """A bare launch, and one with new addresses."""
    block = (ctypes.c_uint64 * (BLOCK // 8))()
    config = Config((1, 1, 1), (32, 1, 1), 0, None, None, 0)
    parameters = (ctypes.c_void_p * 1)(ctypes.addressof(block))
    launch, reference = driver.quick.cuLaunchKernelEx, ctypes.byref(config)

    def bare():
        launch(reference, function, parameters, None)

    words = words_of(len(calls[0][0]))

    def bind(abc, scales):
        for (wa, wb, wsfa, wsfb, wc), (a, b, c), (sfa, sfb) in zip(words, abc, scales):
            block[wa] = a.data_ptr()
            block[wb] = b.data_ptr()
            block[wsfa] = sfa.data_ptr()
            block[wsfb] = sfb.data_ptr()
            block[wc] = c.data_ptr()
        launch(reference, function, parameters, None)

    yield "ctypes, bare launch", bare, [()]
    yield "ctypes, tensors", bind, calls


def of_bindings(function, calls):
    """The same with cuda-bindings; addresses written through numpy."""
    try:
        import numpy
        from cuda.bindings import driver as cuda
    except ImportError:
        return
    block = numpy.zeros(BLOCK // 8, numpy.uint64)
    config = cuda.CUlaunchConfig()
    config.gridDimX = config.gridDimY = config.gridDimZ = 1
    config.blockDimX, config.blockDimY, config.blockDimZ = 32, 1, 1
    handle = cuda.CUfunction(function.value)
    parameters = numpy.array([block.ctypes.data], numpy.uint64)
    address = parameters.ctypes.data

    def bare():
        cuda.cuLaunchKernelEx(config, handle, address, 0)

    places = numpy.array(sum(words_of(len(calls[0][0])), ()))

    def bind(abc, scales):
        block[places] = [
            tensor.data_ptr() for (a, b, c), (sfa, sfb) in zip(abc, scales) for tensor in (a, b, sfa, sfb, c)
        ]
        cuda.cuLaunchKernelEx(config, handle, address, 0)

    # The driver reads both through the address, which keeps nothing alive.
    bare.reads = bind.reads = (block, parameters)
    yield "cuda-bindings, bare launch", bare, [()]
    yield "cuda-bindings, tensors", bind, calls


def of_submission(path, driver, calls, sizes):
    """An exported submission, whose kernels are replaced by one that does nothing if the device cannot run them."""
    import importlib.util
    import os

    for host in ("ctypes", "cpp"):
        os.environ["NVFP4GEN_HOST"] = host
        spec = importlib.util.spec_from_file_location(f"submission_{host}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if host == "cpp" and module.torch is None:
            return
        _replace_kernel(module, driver)
        data = [(abc, None, scales, sizes) for abc, scales in calls]
        module.custom_kernel(data[0])
        yield f"submission, {'C++ extension' if host == 'cpp' else 'ctypes'}", module.custom_kernel, [(d,) for d in data]


def _replace_kernel(module, driver):
    """Loads a kernel that does nothing, with a block of the same size, in place of the file's."""

    def load(self, kernel):
        kernel.update(grid=(1, 1, 1), block=(32, 1, 1), shared=0, cluster=(1, 1, 1))
        return driver.functions(kernel["bytes"])[0]

    module._Driver.load = load


