"""cuda-bindings from PyPI over the emulated driver: load PTX, add two vectors, use a library, an event, a graph.

Prints the loaded driver's version and "ok" at the end; any failure is an exception.
"""

import ctypes
import sys

from cuda.bindings import driver as cuda


def check(result):
    """Unpacks what every call returns: the result code and the outputs."""
    error, *values = result
    if error != cuda.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"{error.name}: {cuda.cuGetErrorString(error)[1].decode()}")
    return values[0] if len(values) == 1 else values


def floats(*values):
    return (ctypes.c_float * len(values))(*values)


def main(path):
    check(cuda.cuInit(0))
    print("driver", check(cuda.cuDriverGetVersion()))
    device = check(cuda.cuDeviceGet(0))
    major = cuda.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    print("device", check(cuda.cuDeviceGetName(64, device)), check(cuda.cuDeviceGetAttribute(major, device)))
    context = check(cuda.cuDevicePrimaryCtxRetain(device))
    check(cuda.cuCtxSetCurrent(context))

    text = open(path, "rb").read() + b"\0"
    module = check(cuda.cuModuleLoadData(text))
    function = check(cuda.cuModuleGetFunction(module, b"vector_add"))
    library = check(cuda.cuLibraryLoadData(text, [], [], 0, [], [], 0))
    kernel = check(cuda.cuLibraryGetKernel(library, b"vector_add"))

    n = 100
    a = floats(*range(n))
    b = floats(*(10 * i for i in range(n)))
    c = floats(*[0] * n)
    size = ctypes.sizeof(a)
    stream = check(cuda.cuStreamCreate(0))
    pointers = [check(cuda.cuMemAlloc(size)) for _ in range(3)]
    check(cuda.cuMemcpyHtoDAsync(pointers[1], ctypes.addressof(a), size, stream))
    check(cuda.cuMemcpyHtoDAsync(pointers[2], ctypes.addressof(b), size, stream))
    arguments = tuple(int(p) for p in pointers) + (n,)
    types = (ctypes.c_void_p,) * 3 + (ctypes.c_uint,)

    def launch(f):
        check(cuda.cuLaunchKernel(f, 4, 1, 1, 32, 1, 1, 0, stream, (arguments, types), 0))

    def launch_ex(f):
        config = cuda.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = 4, 1, 1
        config.blockDimX, config.blockDimY, config.blockDimZ = 32, 1, 1
        config.hStream = stream
        cluster = cuda.CUlaunchAttribute()
        cluster.id = cuda.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
        cluster.value.clusterDim.x = 2
        cluster.value.clusterDim.y = 1
        cluster.value.clusterDim.z = 1
        config.attrs, config.numAttrs = [cluster], 1
        check(cuda.cuLaunchKernelEx(config, f, (arguments, types), 0))

    def verify():
        check(cuda.cuMemcpyDtoHAsync(ctypes.addressof(c), pointers[0], size, stream))
        check(cuda.cuStreamSynchronize(stream))
        assert list(c) == [11 * i for i in range(n)], list(c)
        check(cuda.cuMemsetD8Async(pointers[0], 0, size, stream))

    start, end = (check(cuda.cuEventCreate(0)) for _ in range(2))
    check(cuda.cuEventRecord(start, stream))
    launch(function)
    check(cuda.cuEventRecord(end, stream))
    verify()
    assert check(cuda.cuEventElapsedTime(start, end)) >= 0
    launch(check(cuda.cuKernelGetFunction(kernel)))
    verify()
    launch_ex(function)
    verify()

    relaxed = cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
    check(cuda.cuStreamBeginCapture(stream, relaxed))
    launch(function)
    graph = check(cuda.cuStreamEndCapture(stream))
    executable = check(cuda.cuGraphInstantiate(graph, 0))
    check(cuda.cuGraphLaunch(executable, stream))
    verify()
    check(cuda.cuGraphExecDestroy(executable))
    check(cuda.cuGraphDestroy(graph))

    error, *_ = cuda.cuModuleLoadData(b"\x7fELF\2\1\1\0" + bytes(64))
    assert error == cuda.CUresult.CUDA_ERROR_NO_BINARY_FOR_GPU, error
    for pointer in pointers:
        check(cuda.cuMemFree(pointer))
    for event in (start, end):
        check(cuda.cuEventDestroy(event))
    check(cuda.cuStreamDestroy(stream))
    check(cuda.cuLibraryUnload(library))
    check(cuda.cuModuleUnload(module))
    check(cuda.cuDevicePrimaryCtxRelease(device))
    print("ok")


main(sys.argv[1])
