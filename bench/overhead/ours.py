"""The package's rows. Each is (name, function, argument tuples)."""

import array


def rows(library, calls, sizes, stream=None):
    kernel = library.load(sizes)
    checked, unchecked = kernel.prepare(), kernel.prepare(checks=False)
    yield "package, tensors, checked", checked, calls
    yield "package, tensors", unchecked, calls
    pointers = []
    for abc, scales in calls:
        unchecked.bind(abc, scales)
        pointers.append([address for group in unchecked.pointers for address in group])
    run = unchecked.run if stream is None else lambda table: unchecked.run(table, stream)
    yield "package, a list of integers", run, [(table,) for table in pointers]
    yield "package, an array of integers", run, [(array.array("Q", table),) for table in pointers]
    if stream is None:
        enqueue = unchecked.enqueue
        replay = unchecked.record().replay
    else:
        graph = unchecked.record()
        enqueue, replay = (lambda: unchecked.enqueue(stream)), (lambda: graph.replay(stream))
    yield "package, unchanged pointers", enqueue, [()]
    yield "package, graph replay", replay, [()]


def rows_of_python_tensors(library, calls, sizes):
    launch = library.load(sizes).prepare(checks=False)
    yield "package, tensors written in Python", launch, calls
