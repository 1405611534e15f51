"""A library whose kernels do nothing, on any GPU: the manifest of generated/sm_100a, and one small PTX text a set.

What the host does with it is what it does with real kernels: the same blocks, the same tensor maps, the same call.
"""

import hashlib
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent


def write(folder):
    """Writes it to `folder`/sm_80."""
    folder = pathlib.Path(folder) / "sm_80"
    folder.mkdir(parents=True)
    mark, body = (HERE.parents[1] / "generated/sm_100a/manifest.toml").read_text().split("\n", 1)
    template = (HERE / "noop.ptx").read_text()
    head, *kernels = body.replace('target = "sm_100a"', 'target = "sm_80"').split("[[kernel]]")
    written = [head]
    for kernel in kernels:
        text = template.replace("@BYTES@", re.search(r"^bytes = (\d+)", kernel, re.M)[1])
        (folder / re.search(r'^file = "(.*)"', kernel, re.M)[1]).write_text(text)
        for pattern, value in (
            (r"^sha256 = .*", f'sha256 = "{hashlib.sha256(text.encode()).hexdigest()}"'),
            (r"^function = .*", 'function = "noop"'),
            (r"^ptx_version = .*", 'ptx_version = "7.8"'),
            (r"^launch = .*", "launch = { grid = [1, 1, 1], block = [32, 1, 1], cluster = [1, 1, 1], dynamic_shared = 0 }"),
        ):
            kernel, count = re.subn(pattern, value, kernel, count=1, flags=re.M)
            assert count == 1, pattern
        written.append(kernel)
    body = "[[kernel]]".join(written)
    mark = re.sub(r"[0-9a-f]{64}$", hashlib.sha256(body.encode()).hexdigest(), mark)
    (folder / "manifest.toml").write_text(mark + "\n" + body)
