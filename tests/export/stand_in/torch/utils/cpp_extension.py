"""Compiles an extension as torch does, against the header that stands in for torch's."""

import importlib.util
import os
import pathlib
import subprocess
import sysconfig

HERE = pathlib.Path(__file__).resolve().parent


def load_inline(name, cpp_sources, extra_cflags):
    folder = pathlib.Path(os.environ["STAND_IN_BUILD"])
    source, library = folder / f"{name}.cpp", folder / f"{name}.so"
    source.write_text("#include <torch/extension.h>\n" + "\n".join(cpp_sources))
    include = HERE.parent.parent / "include"
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *extra_cflags]
    command += [f"-I{include}", f"-I{sysconfig.get_paths()['include']}", f"-DTORCH_EXTENSION_NAME={name}"]
    subprocess.run([*command, str(source), "-o", str(library)], check=True)
    spec = importlib.util.spec_from_file_location(name, library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
