#!/usr/bin/env python3
"""What a call costs the host, and the GPU: the seed's table.

    bench/overhead/run.py                      # with torch and a GPU: everything
    bench/overhead/run.py --wheel X.whl        # the same, with the package from a wheel that is not installed
    LD_LIBRARY_PATH=target/emulated-driver PTXEMU_NULL=1 bench/overhead/run.py    # host times over a null driver

Kernels do nothing, so that any GPU will do: what the host pays does not depend on them. Rows (0) to (D) are the seed and
its author's remedies, (E) is ours, `peer` are other ways to launch the same block. Times are microseconds a call: the
best and the median of several rounds; with a GPU also the time between two events divided by the calls, and what a
profiler's trace says the GPU worked for one call.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def main():
    arguments = parse()
    with contextlib.ExitStack() as stack:
        if arguments.wheel:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            zipfile.ZipFile(arguments.wheel).extractall(folder)
            sys.path.insert(0, folder)
        report = run(arguments, stack)
    print_report(report)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(limits(report) if arguments.limits else 0)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", metavar="FILE", help="the package's wheel; without it, the package that is installed")
    parser.add_argument("--submission", metavar="FILE", help="an exported submission of shapes/leaderboard.toml")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    parser.add_argument("--problem", action="append", choices=["P1", "P2", "P3", "P4"], help="only this one; repeatable")
    parser.add_argument("--seconds", type=float, default=0.2, help="for each row (default: %(default)s)")
    parser.add_argument("--limits", action="store_true", help="fail if the package is far beyond what it should cost")
    return parser.parse_args()


def run(arguments, stack):
    import library
    import nvfp4gen
    from driver import Driver

    torch = gpu_torch()
    driver = Driver()
    home = stack.enter_context(tempfile.TemporaryDirectory())
    library.write(home)
    kernels = nvfp4gen.Library(home)
    results = {}
    for name in arguments.problem or ["P1", "P2", "P3", "P4"]:
        print(f"{name} ...", file=sys.stderr, flush=True)
        if torch is None:
            results[name] = without_gpu(arguments, driver, kernels, name)
        else:
            import on_gpu

            results[name] = on_gpu.measure(arguments, driver, kernels, name)
    return {
        "device": driver.device,
        "driver": driver.version,
        "null_driver": driver.emulated,
        "python": platform.python_version(),
        "torch": torch and torch.__version__,
        "nvfp4gen": nvfp4gen.__version__,
        "cpu": cpu(),
        "problems": results,
    }


def gpu_torch():
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def without_gpu(arguments, driver, kernels, name):
    """Host times alone, over addresses that nobody follows."""
    import nvfp4gen
    import ours
    import peers
    import shapes
    from measure import per_call

    if not driver.emulated or os.environ.get("PTXEMU_NULL") != "1":
        sys.exit("without torch, this needs the emulated driver's null mode: see --help")
    address = shapes.Addresses()

    def array(shape, dtype):
        # Blocked scales are given flat: six dimensions would need strides.
        flat = [512 * shape[2] * shape[4]] if dtype == "float8_e4m3fn" else list(shape)
        return nvfp4gen.from_address(address(), flat, dtype)

    arrays = shapes.calls(name, array)
    python = shapes.calls(name, lambda shape, dtype: shapes.Tensor(address()))
    sizes = shapes.sizes(name)
    function, _ = driver.functions(shapes.BLOCK)
    rows = [("peer", row) for row in peers.of_ctypes(driver, function, arrays)]
    rows += [("peer", row) for row in peers.of_bindings(function, arrays)]
    if arguments.submission:
        rows += [("E", row) for row in peers.of_submission(arguments.submission, driver, contest(name), sizes)]
    rows += [("E", row) for row in ours.rows(kernels, arrays, sizes)]
    rows += [("E", row) for row in ours.rows_of_python_tensors(kernels, python, sizes)]
    measured = []
    for group, (title, call, calls) in rows:
        best, median = per_call(call, calls, arguments.seconds)
        measured.append({"row": group, "name": title, "best": best, "median": median})
    return {"rows": measured}


def contest(name):
    """Objects with all that an exported submission looks at."""
    import shapes

    address = shapes.Addresses()

    class Full(shapes.Tensor):
        __slots__ = ("shape", "dtype", "device", "strides")

        def __init__(self, shape, dtype):
            self.address, self.shape, self.dtype, self.device = address(), shape, dtype, DEVICE
            if len(shape) == 3:
                self.strides = (shape[1], 1, shape[0] * shape[1])
            else:
                self.strides = (16, 4, 512 * shape[4], 1, 512, 512 * shape[2] * shape[4])

        def stride(self):
            return self.strides

    return shapes.calls(name, Full)


class DEVICE:
    type, index = "cuda", 0


def cpu():
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    return platform.machine()


def print_report(report):
    where = "a driver that does nothing (the emulated one)" if report["null_driver"] else report["device"]
    print(f"{where}, CUDA {report['driver']}; {report['cpu']}; Python {report['python']}, torch {report['torch']}, "
          f"nvfp4gen {report['nvfp4gen']}; microseconds a call")
    for name, problem in report["problems"].items():
        rows = problem["rows"]
        columns = [column for column in ("best", "median", "events", "gpu") if column in rows[0]]
        width = max(len(row["name"]) for row in rows)
        heads = {"best": "host, best", "median": "host, median", "events": "events / calls", "gpu": "GPU busy"}
        print(f"\n{name:6}{'':{width}}" + "".join(f"{heads[column]:>16}" for column in columns))
        for row in rows:
            cells = "".join(f"{row[column]:16.2f}" if row.get(column) is not None else f"{'-':>16}" for column in columns)
            print(f"{row['row']:6}{row['name']:{width}}{cells}")
        if "phases" in problem:
            print("the seed's parts: " + ", ".join(f"{part} {us:.1f}" for part, us in problem["phases"].items()))
        for line in problem.get("trace", []):
            print(f"  trace: {line}")


def limits(report):
    """Bounds for machines that do other work besides: four times what a quiet core needs."""
    code = 0
    for row in report["problems"].get("P1", {"rows": []})["rows"]:
        limit = {"package, tensors": 6.0, "package, an array of integers": 2.8}.get(row["name"])
        if limit and row["best"] > limit:
            print(f"{row['name']}: {row['best']:.2f} us, at most {limit} are expected", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    main()
