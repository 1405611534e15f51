"""Time per call, for functions that are called with one set of arguments after the other."""

import gc
import statistics
import time


# Short enough that a round is seldom interrupted, and that a GPU's queue of launches does not fill, which would make the
# host wait.
ROUND = 1e-3


def per_call(function, arguments, seconds=0.2, finish=None):
    """Microseconds a call: the least and the median of many short rounds, `seconds` in all.

    `arguments` is a list of argument tuples, which take turns. `finish` is called after every round, outside the time:
    it waits for the GPU.
    """
    finish = finish or (lambda: None)
    loops = _loops(function, arguments, finish)
    times = []
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 5:
            start = time.perf_counter_ns()
            for _ in range(loops):
                for each in arguments:
                    function(*each)
            times.append((time.perf_counter_ns() - start) / 1e3 / (loops * len(arguments)))
            finish()
    finally:
        gc.enable()
    return min(times), statistics.median(times)


def _loops(function, arguments, finish):
    """How often all arguments fit a round."""
    once = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        for each in arguments:
            function(*each)
        once = min(once, time.perf_counter() - start)
        finish()
    return max(1, int(ROUND / once))
