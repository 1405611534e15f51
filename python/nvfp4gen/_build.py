"""Building kernels and verifying them, from shape files or from sets that are written in Python."""

import json
import os
from typing import NamedTuple, Optional, Sequence, Union

from . import _native

Size = Union[int, Sequence[int]]


class Set(NamedTuple):
    """A grouped GEMM with all its sizes, as a shape file has them.

    `m` is a list and counts the groups; `n` and `k` are lists of the same length, or one number for all groups. N is a
    multiple of 8, K of 64, M anything from 0 up. `weights` is "dynamic" if a kernel that may still run writes B and its
    scales.
    """

    name: str
    m: Sequence[int]
    n: Size
    k: Size
    output: str = "f16"
    weights: str = "static"

    def _toml(self):
        # Strings and lists of integers are written alike in JSON and TOML.
        def plain(value):
            return value if isinstance(value, (str, int)) else [int(item) for item in value]

        fields = (f"{name} = {json.dumps(plain(value))}\n" for name, value in self._asdict().items())
        return "[[set]]\n" + "".join(fields)


class Verdict(NamedTuple):
    """What came of a set: every element of C was within its bound."""

    name: str
    max_ulps: float
    """Largest distance from the exact sum, in ulps of C's type."""
    max_ratio: float
    """The same as a fraction of what is permitted."""
    elements: int
    """Elements compared, in each run."""


Shapes = Union[str, os.PathLike, Set, Sequence[Union[str, os.PathLike, Set]]]


def build(shapes: Shapes, out: Union[str, os.PathLike] = "generated", targets: Sequence[str] = ("sm_100a",)) -> list[str]:
    """Writes the kernels of shape files, or of sets, to `out/<target>`; gives their keys.

    A library is replaced in one step, and holds exactly these sets afterwards. With ptxas on the machine, machine code
    is written too. ValueError: anything that is wrong in a shape file or a set, all of it at once.
    """
    return _native.build(_texts(shapes), os.fspath(out), _names(targets))


def verify(
    shapes: Shapes,
    sets: Optional[Sequence[str]] = None,
    *,
    target: str = "sm_100a",
    seed: int = 1,
    schedules: Sequence[str] = ("eager", "lazy"),
) -> list[Verdict]:
    """Runs kernels on the emulated GPU, on data over the whole range, and compares every element of C with an exact sum.

    Needs no GPU. `sets` names some of the sets; `schedules` are "eager", "lazy" and "random:SEED". nvfp4gen.Error: the
    first set that is wrong, and how.
    """
    names = None if sets is None else _names(sets)
    found = _native.verify(_texts(shapes), names, target, seed, _names(schedules))
    return [Verdict(*verdict) for verdict in found]


def _names(names):
    return [names] if isinstance(names, str) else list(names)


def _texts(shapes):
    """Name and text of each shape file."""
    if isinstance(shapes, (str, os.PathLike, Set)):
        shapes = [shapes]
    texts = []
    for shape in shapes:
        if isinstance(shape, Set):
            texts.append((f"set {shape.name!r}", shape._toml()))
        else:
            with open(shape, encoding="utf-8") as file:
                texts.append((os.fspath(shape), file.read()))
    return texts
