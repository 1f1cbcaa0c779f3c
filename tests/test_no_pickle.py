"""Nothing in the project reads or writes pickle, whatever its name, and YAML is read safely."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("quantgod", "steps", "tests", "bench")

MODULES = {"pickle", "_pickle", "cPickle", "pickle5", "dill", "cloudpickle", "shelve", "marshal"}

FLAVORS = {"mlflow.sklearn", "mlflow.pytorch"}
"""The flavours of MLflow that save by pickle."""

CALLS = {
    "joblib.load",
    "joblib.dump",
    "torch.load",
    "torch.save",
    "torch.jit.load",
    "numpy.lib.format.read_array",
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.full_load_all",
    "yaml.unsafe_load",
    "yaml.unsafe_load_all",
}
METHODS = {"read_pickle", "to_pickle"}
"""Refused of whatever object: pandas has them in many places."""


def test_no_file_of_the_project_uses_pickle() -> None:
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    assert ROOT / "quantgod" / "registry" / "chain.py" in files
    found = {
        str(path.relative_to(ROOT)): offences
        for path in files
        if (offences := list(offences_in(path.read_text(encoding="utf-8"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, cloudpickle as c",
        "from dill import loads",
        "from _pickle import Unpickler",
        "def f():\n    import pickle as innocent",
        "import importlib\nimportlib.import_module('pickle')",
        "__import__('cPickle')",
        "import torch\ntorch.load('x')",
        "import torch as t\nt.save({}, 'x')",
        "from torch import load\nload('x')",
        "from torch import load as read\nread('x')",
        "import torch\nread = torch.load",
        "import joblib\njoblib.load('x')",
        "from joblib import dump",
        "import pandas as pd\npd.read_pickle('x')",
        "frame.to_pickle('x')",
        "from pandas import read_pickle",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "import numpy as np\nnp.load('x', None, True)",
        "import yaml\nyaml.load(text, yaml.Loader)",
        "from yaml import unsafe_load",
        "import mlflow\nmlflow.sklearn.log_model(m)",
        "from mlflow import pytorch",
        "import mlflow.pytorch",
    ],
)
def test_the_check_finds(source: str) -> None:
    assert list(offences_in(source))


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nnp.load('x')\nnp.load('x', allow_pickle=False)",
        "import yaml\nyaml.safe_load(text)",
        "import json\njson.load(file)",
        "import torch\ntorch.from_numpy(x)",
        "from joblib import Parallel, delayed",
        "'import pickle'  # torch.load",
        "settings.load('x')",
        "import mlflow\nmlflow.pyfunc.load_model('x')",
    ],
)
def test_the_check_lets_pass(source: str) -> None:
    assert not list(offences_in(source))


def offences_in(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    known = dict(_imported(tree))
    for node in ast.walk(tree):
        for name in _names(node, known):
            parts = name.split(".")
            prefixes = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
            if parts[0] in MODULES or prefixes & (FLAVORS | CALLS) or parts[-1] in METHODS:
                yield f"line {node.lineno}: {name}"  # type: ignore[attr-defined]
        if isinstance(node, ast.Call) and _may_unpickle(node, known):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What each imported name stands for: `t` for `torch` after `import torch as t`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (top, top)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _names(node: ast.AST, known: dict[str, str]) -> Iterator[str]:
    """Full dotted names that a node imports or refers to."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Attribute):
        yield _dotted(node, known)


def _dotted(node: ast.expr, known: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, known)}.{node.attr}"
    return known.get(node.id, "?") if isinstance(node, ast.Name) else "?"


def _may_unpickle(call: ast.Call, known: dict[str, str]) -> bool:
    """Whether a call imports a forbidden module by its name, or lets NumPy unpickle."""
    name = _dotted(call.func, known)
    if name == "importlib.import_module" or getattr(call.func, "id", "") == "__import__":
        texts = [value.value for value in call.args if isinstance(value, ast.Constant)]
        return any(str(text).split(".")[0] in MODULES for text in texts)
    allowed = [word.value for word in call.keywords if word.arg == "allow_pickle"]
    allowed += call.args[2:3] if name == "numpy.load" else []
    return any(not (isinstance(value, ast.Constant) and not value.value) for value in allowed)
