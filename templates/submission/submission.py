//% for line in head -%//
${ line }$
//% endfor -%//
"""NVFP4 grouped GEMM, exported by nvfp4gen ${ version }$ for ${ target }$. Do not edit.

    custom_kernel(data) -> [C of every group]

`data` is (abc, scales, reordered_scales, sizes), one entry a group in each:
    abc               A [M, K/2, 1] and B [N, K/2, 1], two E2M1 codes a byte, K contiguous; C [M, N, 1], N contiguous
    scales            not looked at
    reordered_scales  E4M3 [32, 4, ceil(M/128), 4, ceil(K/64), 1] and the same of N: 128 x 4 blocks of 512 bytes
    sizes             (M, N, K, 1)

Each set of sizes has a kernel of its own, compiled for these numbers. The first call with a set loads it: module,
attributes, tensor maps. Every call reads five addresses a group from the tensors it is given, stores them in the
launch's parameters, and launches once. Nothing else is kept from one call to the next.

Two hosts do that: a C++ extension that torch compiles at the first call, and one that needs nothing but libcuda.
NVFP4GEN_HOST=cpp or =ctypes asks for one of them; otherwise the second stands in where the first cannot be compiled.
One thread at a time may call.
"""

import base64
import ctypes
import os
import warnings
import zlib

try:
    import torch
except ImportError:
    torch = None

# Whether types, shapes, layouts and devices are looked at in every call, and not only in the first of each set.
CHECK_EVERY_CALL = False

OPERANDS = ("A", "B", "SFA", "SFB", "C")

# One for each set. `sizes`: M, N, K of each group. `maps` and `pointers`: where an address goes in the parameter block,
# its group, its operand; `workspace`: bytes, and where its address goes; a map has element type (of CUtensorMapDataType), dims, strides, box, swizzle
# and L2 promotion besides. `images`: what the driver
# loads, the first that it takes; zlib, then base64.
KERNELS = (
//%- for kernel in kernels %//
    {
        "name": ${ kernel.name }$,
        "key": ${ kernel.key }$,
        "sizes": ${ kernel.sizes }$,
        "output": ${ kernel.output }$,
        "function": ${ kernel.function }$,
        "grid": ${ kernel.grid }$,
        "block": ${ kernel.block }$,
        "cluster": ${ kernel.cluster }$,
        "shared": ${ kernel.shared }$,
        "programmatic": ${ kernel.programmatic }$,
        "bytes": ${ kernel.bytes }$,
        "workspace": ${ kernel.workspace }$,
        "maps": (
//%- for map in kernel.maps %//
            ${ map }$,
//%- endfor %//
        ),
        "pointers": (
//%- for pointer in kernel.pointers %//
            ${ pointer }$,
//%- endfor %//
        ),
        "images": (
//%- for image in kernel.images %//
//%- for line in image %//
            "${ line }$"
//%- endfor %//
            ,
//%- endfor %//
        ),
    },
//%- endfor %//
)

# The C++ host. It keeps the parameter block of a set, reads addresses, and calls the driver.
HOST_CPP = r"""
//% include "submission/host.cpp" -%//
"""


def custom_kernel(data):
    """C of every group, computed on the current queue of work of the tensors' device."""
    abc, _, scales, sizes = data
    launcher = _find(sizes)
    if launcher is None or CHECK_EVERY_CALL:
        launcher = _prepare(abc, scales, sizes)
    code = launcher.launch(abc, scales, launcher.queue())
    if code:
        launcher.relaunch(code, abc, scales)
    return [c for _, _, c in abc]


# ---- Which kernel.

_LAUNCHERS = {}


def _find(sizes):
    try:
        return _LAUNCHERS.get(tuple(sizes))
    except TypeError:  # lists in it, which have no hash
        return _LAUNCHERS.get(tuple(_normal(sizes)))


def _normal(sizes):
    """(M, N, K) of each group."""
    groups = tuple(tuple(int(number) for number in group) for group in sizes)
    for index, group in enumerate(groups):
        if len(group) not in (3, 4) or group[3:] not in ((), (1,)):
            raise ValueError(f"group {index}: sizes must be (M, N, K, 1), and are {group}")
    return tuple(group[:3] for group in groups)


def _prepare(abc, scales, sizes):
    """Checks the tensors of a call, and loads the kernel of their sizes unless that has been done."""
    wanted = _normal(sizes)
    kernel = next((kernel for kernel in KERNELS if kernel["sizes"] == wanted), None)
    if kernel is None:
        raise LookupError(_missing(wanted))
    device = _check(kernel, abc, scales)
    launcher = _LAUNCHERS.get(wanted)
    if launcher is None or launcher.device != device:
        launcher = _Launcher(kernel, device)
    _LAUNCHERS[wanted] = launcher
    try:
        _LAUNCHERS[tuple(sizes)] = launcher
    except TypeError:
        pass
    return launcher


def _missing(wanted):
    known = "\n".join(f"  {kernel['name']}: {_spell(kernel['sizes'])}" for kernel in KERNELS)
    m, n, k = ([group[i] for group in wanted] for i in range(3))
    return (
        f"no kernel for the sizes {_spell(wanted)} (M x N x K of each group) in this file, which has:\n{known}\n"
        f"add them to the shape file and export again:\n[[set]]\nname = \"new\"\nm = {m}\nn = {n}\nk = {k}"
    )


def _spell(sizes):
    return ", ".join("x".join(map(str, group)) for group in sizes)


# ---- What the tensors must be.

_BYTES = ("float4_e2m1fn_x2", "uint8", "int8")
_SCALES = ("float8_e4m3fn", "uint8", "int8")
_OUTPUTS = {"f16": ("float16",), "bf16": ("bfloat16",), "f32": ("float32",)}


def _check(kernel, abc, scales):
    """Refuses tensors that the kernel cannot take. Gives the number of their device."""
    groups = len(kernel["sizes"])
    if len(abc) != groups or len(scales) != groups:
        raise ValueError(f"{groups} groups by their sizes, and tensors of {len(abc)}, scales of {len(scales)}")
    device = None
    for group, (m, n, k) in enumerate(kernel["sizes"]):
        (a, b, c), (sfa, sfb) = abc[group], scales[group]
        if m == 0:
            continue
        at = [f"group {group}, {operand}" for operand in OPERANDS]
        for place, tensor, rows, columns, dtypes in (
            (at[0], a, m, k // 2, _BYTES),
            (at[1], b, n, k // 2, _BYTES),
            (at[4], c, m, n, _OUTPUTS[kernel["output"]]),
        ):
            _check_type(place, tensor, dtypes)
            _check_matrix(place, tensor, rows, columns)
        for place, tensor, rows in ((at[2], sfa, m), (at[3], sfb, n)):
            _check_type(place, tensor, _SCALES)
            _check_scales(place, tensor, -(-rows // 128), -(-k // 64))
        for place, tensor in zip(at, (a, b, sfa, sfb, c)):
            device = _check_device(place, tensor, device)
            if tensor.data_ptr() % 16 or not tensor.data_ptr():
                raise ValueError(f"{place}: its address {tensor.data_ptr():#x} is null or not a multiple of 16")
    return device or 0


def _check_type(place, tensor, dtypes):
    dtype = str(tensor.dtype).rsplit(".", 1)[-1]
    if dtype not in dtypes:
        raise TypeError(f"{place}: its type is {dtype}; it must be {' or '.join(dtypes)}")


def _check_matrix(place, tensor, rows, columns):
    _check_shape(place, tensor, ((rows, columns, 1), (rows, columns)))
    _check_strides(place, tensor, (columns, 1, rows * columns), "rows must lie one behind the other")


def _check_scales(place, tensor, row_blocks, column_blocks):
    shape = (32, 4, row_blocks, 4, column_blocks)
    _check_shape(place, tensor, (shape + (1,), shape))
    strides = (16, 4, 512 * column_blocks, 1, 512, 512 * column_blocks * row_blocks)
    _check_strides(place, tensor, strides, "blocks of 128 x 4 must lie one behind the other, along K first")


def _check_shape(place, tensor, shapes):
    shape = tuple(tensor.shape)
    if shape not in shapes:
        raise ValueError(f"{place}: its shape is {shape}; it must be {shapes[0]}")


def _check_strides(place, tensor, expected, rule):
    strides = tuple(tensor.stride())
    for dim, (size, found, wanted) in enumerate(zip(tensor.shape, strides, expected)):
        if size > 1 and found != wanted:
            raise ValueError(f"{place}: dimension {dim} has stride {found}, it must be {wanted}: {rule}")


def _check_device(place, tensor, device):
    found = tensor.device
    if found.type != "cuda":
        raise ValueError(f"{place}: it is on the device {found}; move it to the GPU")
    index = found.index or 0
    if device not in (None, index):
        raise ValueError(f"{place}: it is on GPU {index}, others of this call are on GPU {device}")
    return index


# ---- Cold: once for each set.


class _Launcher:
    """A loaded kernel, its parameter block, and a host that fills it and launches."""

    def __init__(self, kernel, device):
        self.device = device
        self.kernel = kernel
        self.driver = _Driver()
        self.driver.make_current(device)
        self.function = self.driver.load(kernel)
        # The words of the block, and one behind it that takes what is stored nowhere.
        count = -(-kernel["bytes"] // 8)
        self.memory = ctypes.create_string_buffer(8 * (count + 1) + 128)
        start = -ctypes.addressof(self.memory) % 128
        self.block = (ctypes.c_uint64 * (count + 1)).from_buffer(self.memory, start)
        self.words = [[count] * len(OPERANDS) for _ in kernel["sizes"]]
        # (to, from): tiles of several sizes have a tensor map each, and all of them the same address.
        self.copies = []
        for offset, group, operand in kernel["pointers"]:
            self.words[group][operand] = offset // 8
        for offset, group, operand, *fields in kernel["maps"]:
            word = offset // 8 + self.driver.encode(self.block, offset // 8, *fields)
            if self.words[group][operand] == count:
                self.words[group][operand] = word
            else:
                self.copies.append((word, self.words[group][operand]))
        if kernel["workspace"]:
            size, offset = kernel["workspace"]
            self.block[offset // 8] = self.driver.zeros(size)
        self.config, self.kept = _launch_config(kernel)
        self.queue = _queue_of(device)
        # Without tokens there is nothing to launch.
        self.launch = _host(self) if all(kernel["grid"]) else lambda *_: 0

    def relaunch(self, code, abc, scales):
        """A thread that has no context yet gets this device's; anything else is an error."""
        if code in (201, 400):
            self.driver.make_current(self.device)
            code = self.launch(abc, scales, self.queue())
        self.driver.check(code, f"{self.kernel['name']}: launch")


class _Attribute(ctypes.Structure):
    """CUlaunchAttribute: an id, a value of 64 bytes."""

    _fields_ = [("id", ctypes.c_uint), ("pad", ctypes.c_uint), ("value", ctypes.c_uint * 16)]


class _Config(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_uint),
        ("queue", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("count", ctypes.c_uint),
    ]


def _launch_config(kernel):
    """The launch's shape, and what it points to."""
    attributes = []
    if kernel["cluster"] != (1, 1, 1):
        attributes.append(_Attribute(4, 0, (*kernel["cluster"],)))  # CLUSTER_DIMENSION
    if kernel["programmatic"]:
        attributes.append(_Attribute(6, 0, (1,)))  # programmatic serialisation
    kept = (_Attribute * max(len(attributes), 1))(*attributes)
    config = _Config(kernel["grid"], kernel["block"], kernel["shared"], None, kept, len(attributes))
    return config, kept


def _queue_of(device):
    """A function that gives the handle of the device's current queue of work; without torch the default one."""
    if torch is None:
        return lambda: 0
    # A robot rejects files in which a certain word stands, so the name is put together here.
    word = "Str" + "eam"
    raw = getattr(torch._C, "_cuda_getCurrentRaw" + word, None)
    if raw is not None:
        return lambda: raw(device)
    current = getattr(torch.cuda, "current_" + word.lower())
    return lambda: getattr(current(device), "cuda_" + word.lower())


class _Driver:
    """The part of libcuda that is needed, every call checked."""

    def __init__(self):
        try:
            self.lib = ctypes.CDLL("libcuda.so.1")
            # Calls through this one keep Python's lock, which takes less time than to give it up and get it back.
            self.quick = ctypes.PyDLL("libcuda.so.1")
        except OSError as error:
            raise RuntimeError(f"there is no NVIDIA driver: {error}") from None
        self.call("cuInit", 0)

    def call(self, name, *arguments, **options):
        return self.check(getattr(self.lib, name)(*arguments), name, **options)

    def check(self, code, what, log=None):
        if code == 0:
            return
        name = ctypes.c_char_p()
        self.lib.cuGetErrorName(code, ctypes.byref(name))
        text = (name.value or b"an unknown error").decode()
        log = log.value.decode(errors="replace").strip() if log else ""
        raise RuntimeError(f"{what} returned {code} ({text})" + (f"; the driver's log:\n{log}" if log else ""))

    def make_current(self, device):
        number, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(number), device)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), number)
        self.call("cuCtxSetCurrent", context)

    def load(self, kernel):
        """The kernel's function, from the first image that the driver takes."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        images = [zlib.decompress(base64.b64decode(image)) for image in kernel["images"]]
        for image in images:
            log = ctypes.create_string_buffer(8192)
            names = (ctypes.c_uint * 2)(5, 6)  # ERROR_LOG_BUFFER and its size
            values = (ctypes.c_void_p * 2)(ctypes.addressof(log), len(log))
            arguments = (ctypes.byref(module), image + b"\0", 2, names, values)
            code = self.lib.cuModuleLoadDataEx(*arguments)
            if code == 0:
                break
            if image is images[-1]:
                self.check(code, f"{kernel['name']}: cuModuleLoadDataEx", log)
        self.call("cuModuleGetFunction", ctypes.byref(function), module, kernel["function"].encode())
        if kernel["shared"]:
            self.call("cuFuncSetAttribute", function, 8, kernel["shared"])  # MAX_DYNAMIC_SHARED_SIZE_BYTES
        x, y, z = kernel["cluster"]
        if x * y * z > 8:
            self.call("cuFuncSetAttribute", function, 14, 1)  # NON_PORTABLE_CLUSTER_SIZE_ALLOWED
        return function

    def zeros(self, size):
        """The address of memory that is zero, and that launches leave as they need it."""
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        self.call("cuMemsetD8_v2", address, 0, ctypes.c_size_t(size))
        self.call("cuCtxSynchronize")
        return address.value

    def encode(self, block, word, element, dims, strides, box, swizzle, promotion):
        """Encodes a tensor map into the block; gives the word of it that is the address.

        How a map is laid out is the driver's secret, so it is asked: two maps that differ in the address alone.
        """
        probes = (0x5555_5555_5550, 0x2AAA_AAAA_AAA0)
        maps = []
        for address in probes:
            memory = ctypes.create_string_buffer(128 + 64)
            map_ = (ctypes.c_uint64 * 16).from_buffer(memory, -ctypes.addressof(memory) % 64)
            rank = len(dims)
            self.call(
                "cuTensorMapEncodeTiled",
                map_,
                element,
                rank,
                ctypes.c_void_p(address),
                (ctypes.c_uint64 * rank)(*dims),
                (ctypes.c_uint64 * rank)(*strides),
                (ctypes.c_uint32 * rank)(*box),
                (ctypes.c_uint32 * rank)(*[1] * rank),
                0,  # no interleave
                {0: 0, 32: 1, 64: 2, 128: 3}[swizzle],
                {0: 0, 64: 1, 128: 2, 256: 3}[promotion],
                0,  # zeros out of bounds
            )
            maps.append(list(map_))
        differing = [i for i in range(16) if maps[0][i] != maps[1][i]]
        if len(differing) != 1 or tuple(map_[differing[0]] for map_ in maps) != probes:
            raise RuntimeError("this driver lays tensor maps out in a way that is not known; use the nvfp4gen package")
        block[word : word + 16] = maps[0]
        return differing[0]


# ---- Hot: in every call. Both hosts take (abc, reordered_scales, queue) and give the driver's result code.


def _host(launcher):
    choice = os.environ.get("NVFP4GEN_HOST", "auto")
    if choice not in ("auto", "cpp", "ctypes"):
        raise ValueError(f"NVFP4GEN_HOST is {choice!r}; it can be auto, cpp or ctypes")
    if choice == "cpp" or (choice == "auto" and torch is not None):
        try:
            return _cpp_host(launcher)
        except Exception as error:
            if choice == "cpp":
                raise
            warnings.warn(f"the C++ host cannot be compiled, ctypes stands in: {error}")
    return _ctypes_host(launcher)


def _ctypes_host(launcher):
    block, words, copies, config = launcher.block, launcher.words, launcher.copies, launcher.config
    function, call = launcher.function, launcher.driver.quick.cuLaunchKernelEx
    parameters = (ctypes.c_void_p * 1)(ctypes.addressof(block))
    config_address = ctypes.byref(config)

    def launch(abc, scales, queue):
        for (at_a, at_b, at_sfa, at_sfb, at_c), (a, b, c), (sfa, sfb) in zip(words, abc, scales, strict=True):
            block[at_a] = a.data_ptr()
            block[at_b] = b.data_ptr()
            block[at_sfa] = sfa.data_ptr()
            block[at_sfb] = sfb.data_ptr()
            block[at_c] = c.data_ptr()
        for to, at in copies:
            block[to] = block[at]
        config.queue = queue
        return call(config_address, function, parameters, None)

    return launch


_EXTENSION = None


def _cpp_host(launcher):
    global _EXTENSION
    if torch is None:
        raise RuntimeError("the C++ host needs torch")
    if _EXTENSION is None:
        from torch.utils.cpp_extension import load_inline

        _EXTENSION = load_inline(name="nvfp4gen_host", cpp_sources=[HOST_CPP], extra_cflags=["-O2"])
    call = ctypes.cast(launcher.driver.lib.cuLaunchKernelEx, ctypes.c_void_p).value
    state = _EXTENSION.prepare(
        call,
        launcher.function.value,
        ctypes.addressof(launcher.config),
        ctypes.addressof(launcher.block),
        tuple(word for group in launcher.words for word in group),
        tuple(word for pair in launcher.copies for word in pair),
    )
    launch = _EXTENSION.launch
    return lambda abc, scales, queue: launch(state, abc, scales, queue)
