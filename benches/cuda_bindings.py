"""The Python half of `cargo bench --bench side_by_side`: the same kernels prepared and launched with cuda-bindings.

Reads a line of JSON with the kernels, then for every further line measures everything once and answers with a line of
JSON: for each number of groups the nanoseconds per call of each step.

Two ways to prepare the arguments: `encode`, every tensor map anew by cuTensorMapEncodeTiled, as documented; and `store`,
maps encoded once and addresses stored into them, which is what a careful programmer could do and what nvfp4gen does.
Everything that can be done once is done once, the argument list of the launch included.
"""

import ctypes
import json
import sys
import threading
import time

from cuda.bindings import driver as cuda

NANOSECONDS_A_SAMPLE = 200_000
SAMPLES = 20


def check(result):
    error, *values = result
    if error != cuda.CUresult.CUDA_SUCCESS:
        raise RuntimeError(error.name)
    return values[0] if len(values) == 1 else values


class Kernel:
    """One loaded kernel, and the ways to launch it."""

    def __init__(self, facts):
        self.groups = facts["groups"]
        # Two tables of addresses, one [a, b, sfa, sfb, c] a group: every call has new ones.
        self.tables = facts["tables"]
        self.turn = 0
        entry = facts["entry"]
        self.module = check(cuda.cuModuleLoadData(facts["ptx"].encode() + b"\0"))
        self.function = check(cuda.cuModuleGetFunction(self.module, entry["function"].encode()))
        shared = cuda.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        check(cuda.cuFuncSetAttribute(self.function, shared, entry["launch"]["dynamic_shared"]))
        self.stream = check(cuda.cuStreamCreate(1))
        self.config = self.make_config(entry["launch"])
        self.make_block(entry["parameters"])

    def make_config(self, launch):
        config = cuda.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = launch["grid"]
        config.blockDimX, config.blockDimY, config.blockDimZ = launch["block"]
        config.sharedMemBytes = launch["dynamic_shared"]
        config.hStream = self.stream
        return config

    def make_block(self, parameters):
        operands = ["a", "b", "sfa", "sfb", "c"]
        self.block = (ctypes.c_uint64 * (parameters["bytes"] // 8))()
        self.words = memoryview(self.block).cast("B").cast("Q")
        self.parameter = (ctypes.c_void_p * 1)(ctypes.addressof(self.block))
        self.arguments = ctypes.addressof(self.parameter)
        self.maps = [
            (slot["offset"] // 8, slot["group"], operands.index(slot["operand"]), encoder(slot))
            for slot in parameters["tensor_maps"]
        ]
        self.pointers = [
            (slot["offset"] // 8, slot["group"], operands.index(slot["operand"])) for slot in parameters["pointers"]
        ]
        # The address is a map's first word: as `encode` shows.
        self.stores = [(word, group, operand) for word, group, operand, _ in self.maps] + self.pointers
        self.encode()
        for word, group, operand, _ in self.maps:
            assert self.words[word] == self.tables[self.turn][group][operand]

    def next_table(self):
        self.turn ^= 1
        return self.tables[self.turn]

    def encode(self):
        table, words = self.next_table(), self.words
        for word, group, operand, encode in self.maps:
            words[word : word + 16] = encode(table[group][operand])
        for word, group, operand in self.pointers:
            words[word] = table[group][operand]

    def store(self):
        table, words = self.next_table(), self.words
        for word, group, operand in self.stores:
            words[word] = table[group][operand]

    def enqueue(self):
        error, = cuda.cuLaunchKernelEx(self.config, self.function, self.arguments, 0)
        if error:
            raise RuntimeError(error.name)

    def store_and_enqueue(self):
        self.store()
        self.enqueue()

    def encode_and_enqueue(self):
        self.encode()
        self.enqueue()


def encoder(slot):
    """A function of an address that gives the sixteen words of a tensor map."""
    elements = {
        "u8": cuda.CUtensorMapDataType.CU_TENSOR_MAP_DATA_TYPE_UINT8,
        "u64": cuda.CUtensorMapDataType.CU_TENSOR_MAP_DATA_TYPE_UINT64,
    }
    swizzles = {
        0: cuda.CUtensorMapSwizzle.CU_TENSOR_MAP_SWIZZLE_NONE,
        64: cuda.CUtensorMapSwizzle.CU_TENSOR_MAP_SWIZZLE_64B,
        128: cuda.CUtensorMapSwizzle.CU_TENSOR_MAP_SWIZZLE_128B,
    }
    fixed = (
        [cuda.cuuint64_t(dim) for dim in slot["dims"]],
        [cuda.cuuint64_t(stride) for stride in slot["strides"]],
        [cuda.cuuint32_t(extent) for extent in slot["box"]],
        [cuda.cuuint32_t(1)] * len(slot["dims"]),
        cuda.CUtensorMapInterleave.CU_TENSOR_MAP_INTERLEAVE_NONE,
        swizzles[slot["swizzle"]],
        cuda.CUtensorMapL2promotion.CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
        cuda.CUtensorMapFloatOOBfill.CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
    )
    assert slot["l2_promotion"] == 256
    rank = len(slot["dims"])
    element = elements[slot["element"]]
    words = ctypes.c_uint64 * 16

    def encode(address):
        tensor_map = check(cuda.cuTensorMapEncodeTiled(element, rank, address, *fixed))
        return memoryview(words.from_address(tensor_map.getPtr())).cast("B").cast("Q")

    return encode


def sample(call):
    """Nanoseconds per call: the best of several samples, each of about as many calls as fit."""

    def measure(calls):
        begun = time.perf_counter_ns()
        for _ in range(calls):
            call()
        return time.perf_counter_ns() - begun

    calls = 1
    while 2 * measure(calls) < NANOSECONDS_A_SAMPLE:
        calls *= 2
    return min(measure(calls) for _ in range(SAMPLES)) / calls


def threads(kernels, calls):
    """Nanoseconds of wall clock per call of all threads together, each with a kernel's arguments of its own."""

    def work(kernel):
        check(cuda.cuCtxSetCurrent(CONTEXT))
        ready.wait()
        begun = time.perf_counter_ns()
        for _ in range(calls):
            kernel.store_and_enqueue()
        times.append((begun, time.perf_counter_ns()))

    times = []
    ready = threading.Barrier(len(kernels))
    workers = [threading.Thread(target=work, args=(kernel,)) for kernel in kernels]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    first, last = min(begun for begun, _ in times), max(end for _, end in times)
    return (last - first) / (calls * len(kernels))


def main():
    global CONTEXT
    check(cuda.cuInit(0))
    CONTEXT = check(cuda.cuDevicePrimaryCtxRetain(check(cuda.cuDeviceGet(0))))
    check(cuda.cuCtxSetCurrent(CONTEXT))
    facts = json.loads(sys.stdin.readline())
    kernels = [Kernel(fact) for fact in facts["kernels"]]
    crew = [Kernel(facts["crew"]) for _ in range(facts["threads"])]
    steps = ["encode", "store", "enqueue", "encode_and_enqueue", "store_and_enqueue"]
    for _ in sys.stdin:
        times = [{step: sample(getattr(kernel, step)) for step in steps} for kernel in kernels]
        print(json.dumps({"kernels": times, "threads": threads(crew, 2000)}), flush=True)


main()
