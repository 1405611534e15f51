"""What a Hopper user would run instead, timed by the contest's protocol on the sets of a shape file.

    python3 peers.py shapes/leaderboard.toml --json peers.json

Needs PyTorch, and Triton for one of them. Every peer gets its best case: operands where it wants them, launches replayed
from a graph, tokens dequantised beforehand (which is not timed). Weights are as said: 4.5 bits each, packed with their
scales, or 16 bits each, dequantised beforehand.

The protocol: the L2 cache is cleared once, then the calls for all data sets run back to back between two events.
"""

import argparse
import functools
import itertools
import json
import pathlib
import statistics
import time
import tomllib

import torch

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

MAGNITUDES = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
VALUES = torch.tensor(MAGNITUDES + [-v for v in MAGNITUDES])


class Data:
    """One data set: f16 tokens, packed weights with plain E4M3 scales, and the same weights as f16."""

    def __init__(self, sizes, seed):
        generator = torch.Generator(device="cuda").manual_seed(seed)
        def codes(rows, k):
            return torch.randint(0, 256, (rows, k // 2), generator=generator, device="cuda", dtype=torch.uint8)
        def scales(rows, k):
            return torch.randint(0x28, 0x48, (rows, k // 16), generator=generator, device="cuda", dtype=torch.uint8).view(torch.float8_e4m3fn)
        self.sizes = sizes
        self.tokens = [dequantise(codes(m, k), scales(m, k)) for m, n, k in sizes]
        self.packed = [codes(n, k) for m, n, k in sizes]
        self.scales = [scales(n, k) for m, n, k in sizes]
        self.weights = [dequantise(p, s) for p, s in zip(self.packed, self.scales)]
        self.out = [torch.empty((m, n), device="cuda", dtype=torch.float16) for m, n, k in sizes]


@functools.cache
def table_on(device):
    """Made once: a graph cannot capture the copy."""
    return VALUES.to(device, torch.float16)


def dequantise(packed, scales):
    """f16 [rows, k] of packed E2M1 and E4M3 scales: exact."""
    table = table_on(packed.device)
    low, high = (packed & 15).int(), (packed >> 4).int()
    values = torch.stack((table[low], table[high]), dim=-1).reshape(packed.shape[0], -1, 16)
    return (values * scales.to(torch.float16)[:, :, None]).reshape(packed.shape[0], -1)


class Cublas:
    name, bits = "cuBLAS, one call a group, weights dequantised beforehand to f16", 16

    def __init__(self, data):
        self.data = data

    def call(self):
        for tokens, weights, out in zip(self.data.tokens, self.data.weights, self.data.out):
            torch.mm(tokens, weights.t(), out=out)


class GroupedMm:
    name, bits = "torch._grouped_mm, weights dequantised beforehand to bf16", 16

    def __init__(self, data):
        if len({(n, k) for _, n, k in data.sizes}) != 1:
            raise ValueError("needs the same N and K in all groups")
        self.tokens = torch.cat(data.tokens).bfloat16()
        self.weights = torch.stack(data.weights).bfloat16().transpose(1, 2)
        ends, end = [], 0
        for m, _, _ in data.sizes:
            end += m
            ends.append(end)
        self.ends = torch.tensor(ends, device="cuda", dtype=torch.int32)

    def call(self):
        self.result = torch._grouped_mm(self.tokens, self.weights, offs=self.ends)


class DequantiseAndMultiply:
    name, bits = "a loop: dequantise a group with torch operations, then cuBLAS", 4.5

    def __init__(self, data):
        self.data = data

    def call(self):
        data = self.data
        for tokens, packed, scales, out in zip(data.tokens, data.packed, data.scales, data.out):
            torch.mm(tokens, dequantise(packed, scales).t(), out=out)


class CompiledDequantise:
    name, bits = "a loop: dequantise a group with one compiled kernel, then cuBLAS", 4.5

    def __init__(self, data):
        self.data = data
        if triton is None:
            raise ValueError("needs Triton")
        self.weights = [torch.empty((n, k), device="cuda", dtype=torch.float16) for m, n, k in data.sizes]

    def call(self):
        data = self.data
        for tokens, packed, scales, weights, out in zip(data.tokens, data.packed, data.scales, self.weights, data.out):
            n, k = weights.shape
            dequantise_kernel[(n * k // 8192,)](packed, scales.view(torch.uint8), weights, 4096)
            torch.mm(tokens, weights.t(), out=out)


if triton is not None:
    @triton.jit
    def e2m1(code):
        """Four bits to f16 times 2^-14."""
        bits = ((code & 8) << 12) | ((code & 7) << 9)
        return bits.to(tl.uint16).to(tl.float16, bitcast=True)

    @triton.jit
    def dequantise_kernel(packed, scales, out, BLOCK: tl.constexpr):
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        codes = tl.load(packed + at).to(tl.uint32)
        scale = tl.load(scales + at // 8).to(tl.float8e4nv, bitcast=True).to(tl.float16) * 128
        low, high = e2m1(codes & 15) * scale * 128, e2m1(codes >> 4) * scale * 128
        tl.store(out + tl.program_id(0) * 2 * BLOCK + tl.arange(0, 2 * BLOCK), tl.interleave(low, high))

    @triton.autotune(
        configs=[triton.Config({"BM": bm, "BN": bn, "BK": bk}, num_warps=warps, num_stages=stages)
                 for bm, bn, bk, warps, stages in ((64, 128, 32, 4, 4), (128, 128, 32, 4, 3), (128, 128, 32, 8, 3),
                                                   (64, 64, 64, 4, 4), (64, 128, 64, 4, 3), (128, 64, 64, 4, 3),
                                                   (128, 128, 64, 8, 3))],
        key=["total", "N", "K"])
    @triton.jit
    def grouped_kernel(even, odd, weights, scales, outs, sizes, total, N, K,
                       GROUPS: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
        """Weights stay packed: the even and the odd K go through MMAs of their own, tokens lie in two arrays."""
        tile, first, group, m = tl.program_id(0), 0, 0, 0
        across = tl.cdiv(N, BN)
        found = 0
        row = 0
        for g in tl.static_range(GROUPS):
            size = tl.load(sizes + g)
            tiles = tl.cdiv(size, BM) * across
            here = (found == 0) & (tile < tiles)
            group = tl.where(here, g, group)
            m = tl.where(here, size, m)
            found = tl.where(here, 1, found)
            tile = tl.where(found == 0, tile - tiles, tile)
            row = tl.where(found == 0, row + size, row)
        if found == 0:
            return
        half = K // 2
        rows = tile // across * BM + tl.arange(0, BM)
        columns = tile % across * BN + tl.arange(0, BN)
        ks = tl.arange(0, BK)
        inside = rows < m
        token_at = (row + rows)[:, None] * half + ks[None, :]
        weight_at = weights + group.to(tl.int64) * N * half + columns[:, None] * half + ks[None, :]
        scale_ks = tl.arange(0, BK // 8)
        scale_at = scales + group.to(tl.int64) * N * (K // 16) + columns[:, None] * (K // 16) + scale_ks[None, :]
        sums = tl.zeros((BM, BN), tl.float32)
        for k in range(0, half, BK):
            codes = tl.load(weight_at + k).to(tl.uint32)
            scale = tl.load(scale_at + k // 8).to(tl.float8e4nv, bitcast=True).to(tl.float16) * 128
            scale = tl.broadcast_to(scale[:, :, None], (BN, BK // 8, 8)).reshape(BN, BK)
            low, high = e2m1(codes & 15) * scale, e2m1(codes >> 4) * scale
            a = tl.load(even + token_at + k, mask=inside[:, None], other=0.0)
            sums = tl.dot(a, low.trans(), sums)
            b = tl.load(odd + token_at + k, mask=inside[:, None], other=0.0)
            sums = tl.dot(b, high.trans(), sums)
        at = (row + rows)[:, None].to(tl.int64) * N + columns[None, :]
        tl.store(outs + at, (sums * 128).to(tl.float16), mask=inside[:, None] & (columns < N)[None, :])


class TritonGrouped:
    name, bits = "Triton, one kernel for all groups, weights dequantised in it", 4.5

    def __init__(self, data):
        if triton is None:
            raise ValueError("needs Triton")
        if len({(n, k) for _, n, k in data.sizes}) != 1:
            raise ValueError("needs the same N and K in all groups")
        tokens = torch.cat(data.tokens)
        self.even, self.odd = tokens[:, 0::2].contiguous(), tokens[:, 1::2].contiguous()
        self.weights = torch.stack(data.packed)
        self.scales = torch.stack([s.view(torch.uint8) for s in data.scales])
        self.ms = [m for m, _, _ in data.sizes]
        self.sizes = torch.tensor(self.ms, device="cuda", dtype=torch.int32)
        self.n, self.k = data.sizes[0][1], data.sizes[0][2]
        self.out = torch.empty((sum(self.ms), self.n), device="cuda", dtype=torch.float16)
        self.reference = torch.cat([t.float() @ w.float().t() for t, w in zip(data.tokens, data.weights)])

    def call(self):
        def grid(meta):
            return (sum(-(-m // meta["BM"]) for m in self.ms) * -(-self.n // meta["BN"]),)
        grouped_kernel[grid](self.even, self.odd, self.weights, self.scales, self.out, self.sizes, sum(self.ms), self.n,
                             self.k, GROUPS=len(self.ms))

    def check(self):
        error = (self.out.float() - self.reference).abs().max() / self.reference.abs().max()
        return float(error)


PEERS = [Cublas, GroupedMm, TritonGrouped, CompiledDequantise, DequantiseAndMultiply]


def contest(calls, flush, repeats):
    """Microseconds a call: median and best of the repeats."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    times = []
    for _ in range(repeats):
        flush.zero_()
        torch.cuda.synchronize()
        start.record()
        for call in calls:
            call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1000 / len(calls))
    return statistics.median(times), min(times)


def measure(peer, sets_of_data, flush, repeats):
    instances = [peer(data) for data in sets_of_data]
    row = {"name": peer.name, "bits": peer.bits}
    for instance in instances:
        instance.call()
    torch.cuda.synchronize()
    if hasattr(instances[0], "check"):
        row["largest_error"] = instances[0].check()
    row["eager_us"], row["eager_best_us"] = contest([i.call for i in instances], flush, repeats)
    graphs = []
    for instance in instances:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            instance.call()
        graphs.append(graph)
    row["graph_us"], row["graph_best_us"] = contest([g.replay for g in graphs], flush, repeats)
    return row


def sets_of(path):
    for entry in tomllib.loads(path.read_text())["set"]:
        ms = entry["m"]
        def each(value):
            return value if isinstance(value, list) else [value] * len(ms)
        yield entry["name"], list(zip(ms, each(entry["n"]), each(entry["k"])))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", type=pathlib.Path, nargs="+")
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--data-sets", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=200, help="start nothing after so many seconds")
    arguments = parser.parse_args()
    begun = time.monotonic()
    flush = torch.empty(256 << 20, device="cuda", dtype=torch.uint8)
    report = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "data_sets": arguments.data_sets,
              "repeats": arguments.repeats, "sets": []}
    for name, sizes in itertools.chain.from_iterable(map(sets_of, arguments.shapes)):
        data = [Data(sizes, seed) for seed in range(arguments.data_sets)]
        rows = []
        for peer in PEERS:
            if time.monotonic() - begun > arguments.seconds:
                rows.append({"name": peer.name, "bits": peer.bits, "error": "no time left"})
                continue
            try:
                rows.append(measure(peer, data, flush, arguments.repeats))
            except Exception as error:  # one peer that fails must not lose the others
                rows.append({"name": peer.name, "bits": peer.bits, "error": f"{type(error).__name__}: {error}"[:300]})
            print(name, rows[-1], flush=True)
            report["sets"] = [s for s in report["sets"] if s["name"] != name] + [{"name": name, "peers": rows}]
            arguments.json.write_text(json.dumps(report, indent=1))
        del data
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
