"""libcuda through ctypes: device memory, modules, launches. The same calls reach a GPU's driver and the emulated one."""

import ctypes
import pathlib

HERE = pathlib.Path(__file__).resolve().parent


class Driver:
    def __init__(self):
        self.lib = ctypes.CDLL("libcuda.so.1")
        self.quick = ctypes.PyDLL("libcuda.so.1")
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)
        name, version = ctypes.create_string_buffer(256), ctypes.c_int()
        self.call("cuDeviceGetName", name, 256, device)
        self.call("cuDriverGetVersion", ctypes.byref(version))
        self.device, self.version = name.value.decode(), f"{version.value // 1000}.{version.value % 1000 // 10}"
        self.emulated = hasattr(self.lib, "ptxemu_live")

    def call(self, name, *arguments):
        code = getattr(self.lib, name)(*arguments)
        if code:
            raise RuntimeError(f"{name} returned {code}")

    def functions(self, block_bytes):
        """The two kernels that do nothing."""
        text = (HERE / "noop.ptx").read_text().replace("@BYTES@", str(block_bytes)).encode() + b"\0"
        module = ctypes.c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(module), text)
        found = []
        for name in (b"noop", b"noop_pointers"):
            function = ctypes.c_void_p()
            self.call("cuModuleGetFunction", ctypes.byref(function), module, name)
            found.append(function)
        return found

    def synchronize(self):
        self.call("cuCtxSynchronize")
