"""Loads and launches every set of an exported submission, over addresses that nobody follows: loads.py SUBMISSION."""

import importlib.util
import sys

import emulated

spec = importlib.util.spec_from_file_location("submission", sys.argv[1])
submission = importlib.util.module_from_spec(spec)
spec.loader.exec_module(submission)
for kernel in submission.KERNELS:
    sizes = kernel["sizes"]
    addresses = [[0x10000 * (5 * group + operand + 1) for operand in range(5)] for group in range(len(sizes))]
    submission.custom_kernel(emulated.data(sizes, addresses))
    launcher = submission._LAUNCHERS[sizes]
    # Every slot of the block has the address of its group's operand.
    for offset, group, operand in kernel["pointers"]:
        assert launcher.block[offset // 8] == addresses[group][operand], (kernel["name"], offset)
    for offset, group, operand, *_ in kernel["maps"]:
        assert addresses[group][operand] in launcher.block[offset // 8 : offset // 8 + 16], (kernel["name"], offset)
