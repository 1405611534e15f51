"""All rows with torch and a GPU."""

import functools

import ours
import peers
import shapes
import torch
from measure import per_call
from seed import Seed

# Calls in one trace.
TRACED = 30


def tensor(shape, dtype):
    """An operand as the contest hands it over; its contents do not matter."""
    if dtype == "float8_e4m3fn":
        _, _, row_blocks, _, column_blocks, _ = shape
        flat = torch.zeros((1, row_blocks, column_blocks, 32, 4, 4), dtype=torch.uint8, device="cuda")
        return flat.view(torch.float8_e4m3fn).permute(3, 4, 1, 5, 2, 0)
    rows, columns, _ = shape
    if dtype == "float16":
        return torch.zeros((1, rows, columns), dtype=torch.float16, device="cuda").permute(1, 2, 0)
    data = torch.zeros((1, rows, columns), dtype=torch.uint8, device="cuda")
    return data.view(getattr(torch, dtype)).permute(1, 2, 0)


def measure(arguments, driver, kernels, name):
    calls, sizes = shapes.calls(name, tensor), shapes.sizes(name)
    function, seeds_function = driver.functions(shapes.BLOCK)
    stream = torch.cuda.current_stream().cuda_stream
    seed = Seed(driver, seeds_function, len(sizes), stream)
    full = [(abc, scales, sizes) for abc, scales in calls]
    # The default stream cannot be captured: a graph's launch is recorded in one of its own.
    graphed = Seed(driver, seeds_function, len(sizes), stream)
    graphed.record(*calls[0])
    rows = [
        ("0", ("the seed", seed.seed, full)),
        ("A", ("pre-allocated metadata", seed.preallocated, full)),
        ("B", ("and cached pointer objects", seed.cached, full)),
        ("C", ("and one packed upload", seed.one_upload, full)),
        ("D", ("graph, inputs copied", graphed.static_buffers, full)),
        ("D", ("graph, replay alone", graphed.replay, [()])),
    ]
    rows += [("peer", each) for each in peers.of_ctypes(driver, function, calls)]
    rows += [("peer", each) for each in peers.of_bindings(function, calls)]
    if arguments.submission:
        rows += [("E", each) for each in peers.of_submission(arguments.submission, driver, calls, sizes)]
    rows += [("E", each) for each in ours.rows(kernels, calls, sizes)]
    measured = [row(arguments, *each) for each in rows]
    result = {"rows": measured, "phases": phases(seed, full)}
    if name == "P1":
        result["trace"] = trace_lines(seed.seed, full)
    del calls, full
    torch.cuda.empty_cache()
    return result


def row(arguments, group, each):
    title, call, calls = each
    best, median = per_call(call, calls, arguments.seconds, finish=torch.cuda.synchronize)
    return {
        "row": group,
        "name": title,
        "best": best,
        "median": median,
        "events": between_events(call, calls),
        "gpu": gpu_busy(call, calls),
    }


def between_events(call, calls, loops=4):
    """The contest's way: calls back to back between two events."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    for _ in range(5):
        torch.cuda.synchronize()
        start.record()
        for _ in range(loops):
            for each in calls:
                call(*each)
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / (loops * len(calls)))
    return min(times)


def profiled(call, calls):
    from torch.profiler import ProfilerActivity, profile

    turns = [calls[i % len(calls)] for i in range(TRACED)]
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as trace:
        for each in turns:
            call(*each)
        torch.cuda.synchronize()
    return trace


def gpu_busy(call, calls):
    """Time of kernels and copies a call, by a trace. None if the trace has none."""
    events = [e for e in profiled(call, calls).events() if e.device_type == torch.autograd.DeviceType.CUDA]
    total = sum(event.time_range.elapsed_us() for event in events)
    return total / TRACED if events else None


def trace_lines(call, calls):
    """Phase 2: where the trace finds the seed's host time."""
    averages = profiled(call, calls).key_averages()
    hottest = sorted(averages, key=lambda a: a.self_cpu_time_total, reverse=True)[:8]
    return [
        f"{a.key}: {a.count / TRACED:g} a call, {a.self_cpu_time_total / TRACED:.1f} us of host time" for a in hottest
    ]


def phases(seed, full):
    """Phase 1: microseconds of each part, by timers around it."""
    call = functools.partial(seed.seed_in_parts)
    for each in full:
        call(*each)
    torch.cuda.synchronize()
    seed.phases.clear()
    loops = 10
    for _ in range(loops):
        for each in full:
            call(*each)
        torch.cuda.synchronize()
    return {part: seconds * 1e6 / (loops * len(full)) for part, seconds in seed.phases.items()}
