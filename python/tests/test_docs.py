"""What the documents show is run, and what the stubs say is there."""

import ast
import os
import pathlib
import re
import runpy
import tempfile
import unittest

import nvfp4gen
from nvfp4gen import _native

PYTHON = pathlib.Path(__file__).resolve().parents[1]


class Documents(unittest.TestCase):
    def test_readme(self):
        blocks = re.findall(r"^```python\n(.*?)^```", (PYTHON / "README.md").read_text(), re.M | re.S)
        self.assertEqual(len(blocks), 1)
        here = os.getcwd()
        with tempfile.TemporaryDirectory() as desk:
            os.chdir(desk)
            try:
                exec(compile(blocks[0], "README.md", "exec"), {})
            finally:
                os.chdir(here)

    def test_example(self):
        runpy.run_path(str(PYTHON / "examples/moe_layer.py"), run_name="__main__")


class Stubs(unittest.TestCase):
    """Every name, method and default in the stubs is one of the module's, and the other way round."""

    def test_names(self):
        text = pathlib.Path(nvfp4gen.__file__).with_name("_native.pyi").read_text()
        body = ast.parse(text).body
        said = {node.name: node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
        there = {name for name in dir(_native) if not name.startswith("__")}
        self.assertEqual(set(said), there)
        for name, node in said.items():
            if isinstance(node, ast.FunctionDef):
                self.check_arguments(node, getattr(_native, name))
            elif not issubclass(getattr(_native, name), Exception):
                self.check_class(node, getattr(_native, name))

    def check_class(self, node, kind):
        methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
        fields = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
        public = {name for name in dir(kind) if not name.startswith("_")}
        special = {"__init__", "__call__", "__cuda_array_interface__"}
        self.assertEqual((set(methods) | fields) - special, public, node.name)
        for name, method in methods.items():
            found = getattr(kind, name)
            if callable(found) and name != "__init__" and name != "__call__":
                self.check_arguments(method, found)

    def check_arguments(self, node, function):
        said = [a.arg for a in node.args.args + node.args.kwonlyargs if a.arg != "self"]
        found = re.findall(r"[a-z_]+(?==|,|\)|$)", re.sub(r"=[^,)]*", "=", function.__text_signature__))
        self.assertEqual([a for a in found if a != "self"], said, node.name)


if __name__ == "__main__":
    unittest.main()
