#!/usr/bin/env python3
"""An expert layer in NVFP4, compared with itself in float32: quantise, build, launch, compare.

    python examples/moe_layer.py                 # a GPU of the target, or the emulated driver on LD_LIBRARY_PATH

Needs numpy, and no framework. A router has sent so many tokens to each of four experts; one expert got none.
"""

import tempfile

import numpy
import nvfp4gen

TOKENS = [40, 0, 17, 96]
HIDDEN, OUT = 512, 256


def main():
    random = numpy.random.default_rng(0)
    tokens = [random.standard_normal((m, HIDDEN)).astype(numpy.float32) for m in TOKENS]
    weights = [(random.standard_normal((OUT, HIDDEN)) / HIDDEN**0.5).astype(numpy.float32) for _ in TOKENS]

    with tempfile.TemporaryDirectory() as home:
        nvfp4gen.build(nvfp4gen.Set("experts", m=TOKENS, n=OUT, k=HIDDEN), home)
        kernel = nvfp4gen.Library(home).load([(m, OUT, HIDDEN) for m in TOKENS])
    launch = kernel.prepare()

    # Once for each layer: the weights, their largest block scale made 1. With "auto" it would be 448, and C, which is
    # float16, would overflow.
    quantised = [nvfp4gen.quantize(w, tensor_scale=float(numpy.max(numpy.abs(w))) / 6) for w in weights]
    b = [nvfp4gen.to_device(q.codes) for q in quantised]
    sfb = [nvfp4gen.to_device(q.blocked) for q in quantised]

    # In each step: the tokens, whose magnitudes block scales can hold alone.
    steps = [nvfp4gen.quantize(t) for t in tokens]
    a = [nvfp4gen.to_device(q.codes) for q in steps]
    sfa = [nvfp4gen.to_device(q.blocked) for q in steps]
    c = [nvfp4gen.to_device(numpy.zeros((m, OUT), numpy.float16)) for m in TOKENS]
    # A group without tokens has a place, and may have anything in it.
    launch([(x, y, z) if x.shape[0] else (None,) * 3 for x, y, z in zip(a, b, c)], list(zip(sfa, sfb)))

    print("expert  tokens  against float32  against its own operands")
    for expert, m in enumerate(TOKENS):
        if m == 0:
            continue
        # Kernels know nothing of tensor scales.
        scale = steps[expert].tensor_scale * quantised[expert].tensor_scale
        got = numpy.frombuffer(c[expert].to_host(), numpy.float16).reshape(m, OUT).astype(numpy.float64) * scale
        layer = tokens[expert].astype(numpy.float64) @ weights[expert].T
        same = nvfp4gen.dequantize(steps[expert]) @ nvfp4gen.dequantize(quantised[expert]).T
        print(f"{expert:6}  {m:6}  {error(got, layer):15.4f}  {error(got, same):24.6f}")
        assert error(got, layer) < 0.2 and error(got, same) < 1e-3


def error(got, expected):
    """The norm of the difference over the norm."""
    return float(numpy.linalg.norm(got - expected) / numpy.linalg.norm(expected))


if __name__ == "__main__":
    main()
