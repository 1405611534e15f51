"""Everything that a GPU can tell about nvfp4gen, in one command; builds nothing, fetches nothing.

    python3 bench/device/run.py --out results

Needs the nvfp4gen program and, to compare with, the emulated driver: `pack` beside this file puts both into a folder with
all else that is read here, the Python package among it, so that the folder alone can be carried to the machine with the GPU. Every part has a time
limit of its own and writes a file of its own; one that fails loses nothing of the others. Without a GPU everything runs
on the emulated driver, on few and small sets, and times then say nothing.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Session:
    def __init__(self, arguments):
        self.out = arguments.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="nvfp4gen-device-"))
        self.program = find(arguments.program, [ROOT / "nvfp4gen", ROOT / "target/release/nvfp4gen"])
        self.emulated = find(arguments.emulated, [ROOT / "libcuda-emulated.so", ROOT / "target/release/libcuda.so"])
        self.end = time.monotonic() + arguments.seconds
        self.summary = []
        self.log = open(self.out / "log.txt", "w")
        self.environment = dict(os.environ, PTXEMU_CAPABILITY="9.0", PYTHONUNBUFFERED="1")
        self.gpu = not arguments.no_gpu and self.has_gpu()
        if not self.gpu:
            self.environment["LD_LIBRARY_PATH"] = str(self.emulated_folder())

    def has_gpu(self):
        probe = "import ctypes; c = ctypes.CDLL('libcuda.so.1'); n = ctypes.c_int(); assert c.cuInit(0) == 0 and c.cuDeviceGetCount(ctypes.byref(n)) == 0 and n.value"
        return subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode == 0

    def emulated_folder(self):
        """A folder in which the emulated driver has the name that loaders look for."""
        folder = self.work / "emulated"
        folder.mkdir(exist_ok=True)
        link = folder / "libcuda.so.1"
        if not link.exists():
            link.symlink_to(self.emulated.resolve())
        return folder

    def say(self, text):
        print(text, flush=True)
        self.log.write(text + "\n")
        self.log.flush()

    def run(self, name, limit, command, environment=None, quiet=False):
        """Runs one part; what it prints goes to the screen and the log. Gives its standard output, or None."""
        limit = min(limit, self.end - time.monotonic())
        self.say(f"\n==== {name}")
        if limit < 3:
            self.summary.append({"part": name, "result": "no time left"})
            self.say("no time left")
            return None
        begun = time.monotonic()
        process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env=environment or self.environment, start_new_session=True)
        try:
            output, _ = process.communicate(timeout=limit)
            result = "ok" if process.returncode == 0 else f"exit code {process.returncode}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            output, _ = process.communicate()
            result = f"stopped after {limit:.0f} s"
        seconds = time.monotonic() - begun
        if not quiet or result != "ok":
            self.say("\n".join(line for line in output.splitlines() if not line.startswith("[")))
        self.say(f"---- {name}: {result}, {seconds:.1f} s")
        self.summary.append({"part": name, "result": result, "seconds": round(seconds, 1)})
        return output if result == "ok" or output else None

    def finish(self):
        self.say("\n==== parts")
        for part in self.summary:
            self.say(f"{part['part']:<40} {part['result']:<24} {part.get('seconds', '')}")
        shutil.rmtree(self.work, ignore_errors=True)
        (self.out / "summary.json").write_text(json.dumps({"gpu": self.gpu, "parts": self.summary}, indent=1))
        return all(part["result"] in ("ok", "not here") for part in self.summary)


def find(given, places):
    for place in [given] if given else places:
        if place.exists():
            return place
    sys.exit(f"not found: {', '.join(map(str, [given] if given else places))}; see bench/device/pack")


def doctor(s):
    if shutil.which("nvidia-smi") and s.gpu:
        s.run("nvidia-smi", 20, ["nvidia-smi", "--query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit,memory.total", "--format=csv"])
    s.run("doctor", 30, [s.program, "doctor"])


def build(s):
    """The library that everything loads: generated here, so that it is known to be this program's."""
    s.library = s.work / "library"
    s.shapes = [ROOT / "shapes/leaderboard.toml", HERE / "rows.toml"] if s.gpu else [ROOT / "shapes/mutants.toml"]
    s.run("build", 60, [s.program, "build", *s.shapes, "--target", "sm_90a", "--out", s.library])


def probes(s):
    """The same kernels on the GPU and on the emulated one, byte by byte."""
    emulated = dict(s.environment, LD_LIBRARY_PATH=str(s.emulated_folder()))
    lines, conformance = [], ["--conformance", ROOT / "emulator/tests/conformance"]
    for name in ("dequantise", "mbarrier", "cluster", "tma", "wgmma"):
        extra = conformance if name == "dequantise" else []
        paths = [s.work / f"probe-{name}-{kind}.json" for kind in ("gpu", "emulated")]
        for path, environment in zip(paths, (s.environment, emulated)):
            s.run(f"probe {name}, {path.stem.rsplit('-')[-1]}", 40,
                  [sys.executable, HERE / "probes.py", "--only", name, "--json", path, *extra], environment)
        if all(path.exists() for path in paths):
            lines += compare(*(json.loads(path.read_text()) for path in paths))
    s.say("\n".join(lines))
    (s.out / "probes.txt").write_text("\n".join(lines) + "\n")


def compare(gpu, emulated):
    lines = [f"{name}: ERROR on {side['device']}: {text}" for side in (gpu, emulated) for name, text in side["errors"].items()]
    for key, expected in emulated["probes"].items():
        got = gpu["probes"].get(key)
        if got is None:
            continue
        words = range(0, len(expected), 8)
        different = [i // 8 for i in words if expected[i:i + 8] != got[i:i + 8]]
        line = f"{key}: {'same' if not different else f'{len(different)} of {len(words)} words differ'}"
        for i in different[:4]:
            line += f"\n    word {i}: GPU {flip(got, i)}, emulated {flip(expected, i)}"
        lines.append(line)
    for name, wrong in gpu["conformance"].items():
        lines.append(f"conformance {name}: {'as the emulator' if not wrong else f'{len(wrong)} stores differ'}")
        first = {text.split(" ")[0]: text for text in reversed(wrong)}
        lines += [f"    {text}" for text in sorted(first.values())]
    return lines


def flip(text, word):
    return bytes.fromhex(text[8 * word:8 * word + 8])[::-1].hex()


def verify(s):
    """All shape files against the exact reference; the small ones bit by bit against the emulated GPU too."""
    if not s.gpu:
        s.run("verify, a few sets", 120, [s.program, "verify", ROOT / "shapes/edge.toml", "--gpu", 0, "--against-emulator",
                                          "--set", "all-m", "--set", "n136-k320", "--set", "empty-among-others"])
        return
    s.run("verify, small sets, bit by bit", 100, [s.program, "verify", ROOT / "shapes/edge.toml", ROOT / "shapes/contest-tests.toml",
                                   ROOT / "shapes/mutants.toml", "--gpu", 0, "--against-emulator"])
    s.run("verify, leaderboard", 60, [s.program, "verify", ROOT / "shapes/leaderboard.toml", "--gpu", 0])
    if (ROOT / "shapes/many-groups.toml").exists():
        s.run("verify, many groups", 30, [s.program, "verify", ROOT / "shapes/many-groups.toml", "--gpu", 0])


def sanitizer(s):
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not (s.gpu and pathlib.Path(tool).exists()):
        s.summary.append({"part": "compute-sanitizer", "result": "not here"})
        return
    sets = ["--set", "all-m", "--set", "n136-k320", "--set", "all-differ"]
    for kind in ("memcheck", "racecheck"):
        s.run(f"compute-sanitizer {kind}", 45, [tool, "--tool", kind, s.program, "verify", ROOT / "shapes/edge.toml", "--gpu", 0, *sets])


def times(s):
    quick = [] if s.gpu else ["--data-sets", 1]
    output = s.run("bench", 110, [s.program, "bench", *s.shapes, "--dir", s.library, "--json", *(quick or ["--repeats", 60])], quiet=True)
    keep(s, "bench.json", output)
    output = s.run("profile", 60, [s.program, "profile", *s.shapes, "--dir", s.library, "--json"], quiet=True)
    keep(s, "profile.json", output)


def keep(s, name, output):
    """JSON from a program whose progress may stand before it, and its verdict after it."""
    if output and "{" in output:
        begin = output.index("{")
        _, end = json.JSONDecoder().raw_decode(output, begin)
        (s.out / name).write_text(output[begin:end])


def peers(s):
    if s.gpu:
        s.run("peers", 230, [sys.executable, HERE / "peers.py", *s.shapes, "--json", s.out / "peers.json"])


def runtime(s):
    """The run-time library's own tests on the driver, which print what its calls cost."""
    test = ROOT / "runtime_device"
    if s.gpu and test.exists():
        s.run("run-time library", 60, [test, "--ignored", "--nocapture", "--test-threads", 1])


def package(s):
    """The Python package and the submission with torch's tensors, then what their calls cost beside the seed's."""
    wheel, submission = next(ROOT.glob("*.whl"), None), ROOT / "submission.py"
    if not (s.gpu and wheel and submission.exists()):
        s.summary.append({"part": "package", "result": "not here"})
        return
    site = s.work / "site"
    zipfile.ZipFile(wheel).extractall(site)
    environment = dict(s.environment, PYTHONPATH=str(site), NVFP4GEN_LIBRARY=str(s.library),
                       NVFP4GEN_SUBMISSION=str(submission))
    s.run("package and submission", 120, [sys.executable, "-m", "unittest", "discover", "--start-directory",
                                          ROOT / "python/tests_gpu"], environment)
    s.run("overhead", 90, [sys.executable, ROOT / "bench/overhead/run.py", "--submission", submission, "--json",
                           s.out / "overhead.json"], environment)


def table(s):
    """Ours beside the peers, by the contest's protocol."""
    try:
        bench = json.loads((s.out / "bench.json").read_text())
        others = {}
        if (s.out / "peers.json").exists():
            others = {e["name"]: e["peers"] for e in json.loads((s.out / "peers.json").read_text())["sets"]}
        lines = [f"{bench['device']}, us a call, contest protocol; ratio to ours"]
        for entry in bench["sets"]:
            rows = [r for r in entry["rows"] if r["protocol"] == "contest"]
            best = min(rows, key=lambda r: r["gpu_us"])
            lines.append(f"\n{entry['name']}: {entry['checked'] - entry['wrong']} of {entry['checked']} data sets right")
            for r in rows:
                lines.append(f"  {r['gpu_us']:9.2f} {r['gpu_us'] / best['gpu_us']:6.2f}  nvfp4gen, 4.5 bits a weight, graph {r['graph']}, early {r['programmatic']}")
            for peer in others.get(entry["name"], []):
                if "error" in peer:
                    lines.append(f"          -      -  {peer['name']}: {peer['error']}")
                    continue
                us = min(peer["eager_us"], peer["graph_us"])
                lines.append(f"  {us:9.2f} {us / best['gpu_us']:6.2f}  {peer['name']}, {peer['bits']} bits a weight")
        s.say("\n".join(lines))
        (s.out / "table.txt").write_text("\n".join(lines) + "\n")
    except (OSError, ValueError, KeyError) as error:
        s.say(f"no table: {error}")


PARTS = {"doctor": doctor, "build": build, "probes": probes, "verify": verify, "bench": times, "peers": peers,
         "sanitizer": sanitizer, "runtime": runtime, "package": package, "table": table}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--program", type=pathlib.Path, help="the nvfp4gen program")
    parser.add_argument("--emulated", type=pathlib.Path, help="the emulated driver, libcuda.so")
    parser.add_argument("--seconds", type=float, default=540, help="for everything")
    parser.add_argument("--no-gpu", action="store_true", help="use the emulated driver even if there is a GPU")
    parser.add_argument("--only", action="append", choices=PARTS, help="these parts alone; may be repeated")
    arguments = parser.parse_args()
    session = Session(arguments)
    for name, part in PARTS.items():
        if name == "build" or not arguments.only or name in arguments.only:
            try:
                part(session)
            except Exception as error:  # the parts after it still run
                session.say(f"{name}: {type(error).__name__}: {error}")
                session.summary.append({"part": name, "result": f"{type(error).__name__}"})
    sys.exit(0 if session.finish() else 1)


if __name__ == "__main__":
    main()
