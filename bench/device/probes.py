"""Small kernels whose results show how a device behaves: run on any libcuda, so on a GPU and on the emulated one alike.

    python3 probes.py --driver libcuda.so.1 --json out.json

Needs nothing but Python. Each probe's output bytes go into the JSON as a hash and, where they are few, as hexadecimal;
`run.py` compares the two devices'. With --conformance DIR the emulator's own conformance kernels, whose comments say
what each store must store, are run as well.
"""

import argparse
import ctypes
import hashlib
import json
import pathlib
import random
import struct
import sys

HERE = pathlib.Path(__file__).parent


class Driver:
    """The few entry points of libcuda that are needed here."""

    def __init__(self, name):
        self.cuda = ctypes.CDLL(name)
        self.call("cuInit", 0)
        device = ctypes.c_int()
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)
        text = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", text, 256, device)
        self.name = text.value.decode()

    def call(self, function, *arguments):
        result = getattr(self.cuda, function)(*arguments)
        if result != 0:
            raise RuntimeError(f"{function}: CUDA error {result}")

    def function(self, ptx, entry="probe"):
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        image = ctypes.create_string_buffer(ptx.encode())
        self.call("cuModuleLoadData", ctypes.byref(module), image)
        self.call("cuModuleGetFunction", ctypes.byref(function), module, entry.encode())
        return function

    def memory(self, data):
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(len(data)))
        self.call("cuMemcpyHtoD_v2", address, ctypes.c_char_p(bytes(data)), ctypes.c_size_t(len(data)))
        return address

    def read(self, address, count):
        data = ctypes.create_string_buffer(count)
        self.call("cuMemcpyDtoH_v2", data, address, ctypes.c_size_t(count))
        return data.raw

    def launch(self, function, grid, block, *parameters):
        pointers = (ctypes.c_void_p * len(parameters))(*(ctypes.addressof(p) for p in parameters))
        self.call("cuLaunchKernel", function, grid, 1, 1, block, 1, 1, 0, None, pointers, None)
        self.call("cuCtxSynchronize")

    def tensor_map(self, address, dims, stride, box, swizzle):
        raw = ctypes.create_string_buffer(128 + 128)
        at = (ctypes.addressof(raw) + 127) & ~127
        u64, u32 = ctypes.c_uint64, ctypes.c_uint32
        self.call("cuTensorMapEncodeTiled", ctypes.c_void_p(at), 0, 2, address, (u64 * 2)(*dims), (u64 * 1)(stride),
                  (u32 * 2)(*box), (u32 * 2)(1, 1), 0, swizzle, 0, 0)
        copy = (ctypes.c_char * 128).from_address(at)
        copy.owner = raw
        return copy


def read(name):
    return (HERE / "probes" / name).read_text()


def half(generator, low, high):
    """The bits of a random f16 with an exponent field from low to high; 0 gives subnormals and zeros."""
    return generator.getrandbits(1) << 15 | generator.randint(low, high) << 10 | generator.getrandbits(10)


def wgmma(driver):
    """Rounding of one f16 MMA: spreads of exponents from none to all, subnormals among them; sums of all sizes."""
    function, results = driver.function(read("wgmma.ptx")), {}
    ranges = {"even": (15, 15), "near": (12, 18), "wide": (1, 24), "all": (0, 25), "subnormal": (0, 0), "tiny": (0, 4)}
    for name, (low, high) in ranges.items():
        for sums in ("zero", "near", "wide"):
            generator = random.Random(f"{name} {sums}")
            ctas = 16
            a = struct.pack(f"<{ctas * 1024}H", *(half(generator, low, high) for _ in range(ctas * 1024)))
            b = struct.pack(f"<{ctas * 512}H", *(half(generator, low, high) for _ in range(ctas * 512)))
            middle = low + high + 97
            spread = {"zero": None, "near": 3, "wide": 30}[sums]
            def c():
                if spread is None:
                    return 0
                exponent = min(max(generator.randint(middle - spread, middle + spread), 0), 254)
                return generator.getrandbits(1) << 31 | exponent << 23 | generator.getrandbits(23)
            c = struct.pack(f"<{ctas * 2048}I", *(c() for _ in range(ctas * 2048)))
            out = driver.memory(bytes(len(c)))
            driver.launch(function, ctas, 128, driver.memory(a), driver.memory(b), driver.memory(c), out)
            results[f"wgmma {name}, sums {sums}"] = driver.read(out, len(c))
    return results


def tma(driver):
    """Boxes of bytes under every swizzle: inside, beyond either end, before the start."""
    function, results = driver.function(read("tma.ptx")), {}
    width, height = 272, 50
    source = driver.memory(bytes((7 * y + 13 * x + x // 16) & 255 for y in range(height) for x in range(width)))
    for swizzle, inner in enumerate([64, 32, 64, 128]):
        for rows in (8, 40):
            map_ = driver.tensor_map(source, (width - 8, height), width, (inner, rows), swizzle)
            for x, y in ((0, 0), (16, 3), (240, 20), (0, 45), (-32, -4), (512, 0)):
                out = driver.memory(bytes(16384))
                numbers = (ctypes.c_int32(x), ctypes.c_int32(y), ctypes.c_uint32(inner * rows))
                driver.launch(function, 1, 128, map_, out, *numbers)
                results[f"tma swizzle {swizzle}, box {inner} x {rows} at {x}, {y}"] = driver.read(out, 16384)
    return results


def small(driver, name, grid, block, size):
    function = driver.function(read(name))
    out = driver.memory(bytes(i * 37 & 255 for i in range(size)))
    driver.launch(function, grid, block, out)
    return driver.read(out, size)


PROBES = {
    "wgmma": wgmma,
    "tma": tma,
    "mbarrier": lambda driver: {"mbarrier": small(driver, "mbarrier.ptx", 1, 32, 2048)},
    "cluster": lambda driver: {"cluster": small(driver, "cluster.ptx", 8, 32, 2048)},
    "dequantise": lambda driver: {"dequantise": small(driver, "dequantise.ptx", 16, 128, 32768)},
}


def conformance(driver, path):
    """Runs one conformance kernel; every store that is not what its comment says is a line of the answer."""
    text = path.read_text()
    block = next((int(l[9:]) for l in text.splitlines() if l.startswith("// block ")), 1)
    out = driver.memory(bytes(1024 * block))
    driver.launch(driver.function(text, "test"), 1, block, out)
    got, wrong = driver.read(out, 1024 * block), []
    for number, line in enumerate(text.splitlines(), 1):
        code, mark, values = line.partition("//=")
        if not mark or "st.global.b" not in code:
            continue
        size = int(code.split("st.global.b")[1].split()[0]) // 8
        offset = int(code.split("[%out+")[1].split("]")[0])
        values = [int(value, 16) for value in values.split()]
        for thread in range(block):
            at = 1024 * thread + offset
            value = int.from_bytes(got[at:at + size], "little")
            if value != values[thread % len(values)]:
                wrong.append(f"{path.name}:{number} thread {thread}: {value:#x}, the emulator says {values[thread % len(values)]:#x}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--driver", default="libcuda.so.1")
    parser.add_argument("--only", action="append", choices=sorted(PROBES), default=[])
    parser.add_argument("--conformance", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    driver = Driver(arguments.driver)
    report = {"device": driver.name, "probes": {}, "errors": {}, "conformance": {}}
    for name, probe in PROBES.items():
        if arguments.only and name not in arguments.only:
            continue
        try:
            for key, data in probe(driver).items():
                report["probes"][key] = data.hex()
        except (RuntimeError, OSError) as error:
            report["errors"][name] = str(error)
    if arguments.conformance:
        for path in sorted(arguments.conformance.glob("*.ptx")):
            if ".target sm_90a" not in path.read_text():
                continue
            try:
                report["conformance"][path.name] = conformance(driver, path)
            except RuntimeError as error:
                report["conformance"][path.name] = [str(error)]
    arguments.json.write_text(json.dumps(report))
    digest = hashlib.sha256(json.dumps(report["probes"]).encode()).hexdigest()[:16]
    print(f"{driver.name}: {len(report['probes'])} probes, {digest}; errors {report['errors']}", file=sys.stderr)


if __name__ == "__main__":
    main()
