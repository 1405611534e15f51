"""Time per call, for functions that are called with one set of arguments after the other."""

import gc
import statistics
import time


def per_call(function, arguments, seconds=0.2, rounds=7, finish=None):
    """Microseconds a call: the least and the median of `rounds` rounds, each of about `seconds` / `rounds`.

    `arguments` is a list of argument tuples, which take turns. `finish` is called after every round, outside the time:
    it waits for the GPU.
    """
    finish = finish or (lambda: None)
    loops = _loops(function, arguments, seconds / rounds, finish)
    times = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            start = time.perf_counter_ns()
            for _ in range(loops):
                for each in arguments:
                    function(*each)
            times.append((time.perf_counter_ns() - start) / 1e3 / (loops * len(arguments)))
            finish()
    finally:
        gc.enable()
    return min(times), statistics.median(times)


def _loops(function, arguments, seconds, finish):
    for each in arguments:
        function(*each)
    finish()
    start = time.perf_counter()
    for each in arguments:
        function(*each)
    once = time.perf_counter() - start
    finish()
    # Short enough that a GPU's queue of launches does not fill, which would make the host wait.
    return max(1, min(int(seconds / max(once, 1e-9)), 1000 if finish.__name__ == "<lambda>" else 16))
