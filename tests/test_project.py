"""The project's own papers: what they name is there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from quantgod.settings import load_settings
from steps.options import CONFIG, values_from

ROOT = Path(__file__).parents[1]
MLPROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
ENTRY_POINTS = sorted(MLPROJECT["entry_points"])
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_environment_installs_the_same_requirements() -> None:
    python_env = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    assert python_env["dependencies"] == ["-r requirements.txt"]
    assert [item["pip"] for item in conda["dependencies"] if isinstance(item, dict)] == [
        ["-r requirements.txt"]
    ]
    assert MLPROJECT["python_env"] == "python_env.yaml"
    assert "-r requirements.txt" in (ROOT / "Makefile").read_text()


def test_every_requirement_is_pinned_to_a_version() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if line and not line.startswith(("#", "-r ")):
                assert re.match(r"^[A-Za-z0-9_.-]+==[0-9][^;\s]*(;.*)?$", line), f"{name}: {line}"


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_entry_point_is_a_step_that_takes_its_parameters(name: str) -> None:
    entry = MLPROJECT["entry_points"][name]
    module, *_ = entry["command"].removeprefix("python -m ").split()
    assert module == f"steps.{name}"
    help_text = help_of(name)
    for parameter in entry["parameters"]:
        assert f"--{parameter.replace('_', '-')}" in help_text
        assert f"{{{parameter}}}" in entry["command"]


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_a_step_imports_nothing_heavy_before_it_must(name: str) -> None:
    code = (
        f"import sys, steps.{name}\n"
        "heavy = {'mlflow', 'torch', 'numpy', 'pandas', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, f"steps.{name} imports {done.stderr}"


HEAVY = frozenset({"torch", "xgboost", "sklearn", "scipy.stats", "optuna", "numba", "matplotlib"})
LOADED = (
    (("candles", "deployments", "download", "import_bars", "relocate"), frozenset()),
    (("rollback", "ui"), frozenset()),
    (("features", "label"), {"matplotlib"}),
    (("backtest", "collect", "etl", "simulate", "snapshots"), {"matplotlib", "numba"}),
    (("disable", "gates", "live", "manage", "promote", "serve"), HEAVY - {"torch", "optuna"}),
)
"""Steps by what their work may load of what takes long, the least first."""

WORK = """
import ast, importlib, sys
heavy, groups = eval(sys.argv[1])
for steps in groups:
    for name in steps:
        for node in ast.walk(ast.parse(open(f"steps/{name}.py").read())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("quantgod."):
                exec(ast.unparse(node))
    print(*sorted(heavy & set(sys.modules)))
"""
"""Imports what functions of steps import when they work, and tells what is loaded by then."""


@pytest.mark.long
def test_the_work_of_a_step_loads_only_what_it_needs_of_what_takes_long() -> None:
    asked = repr((set(HEAVY), [steps for steps, _ in LOADED]))
    command = [sys.executable, "-c", WORK, asked]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    for (steps, may), loaded in zip(LOADED, done.stdout.splitlines(), strict=True):
        assert set(loaded.split()) <= may, f"{steps} load {loaded}"


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_the_readme_tells_of_every_entry_point_with_its_parameters(name: str) -> None:
    row = next((line for line in README.splitlines() if line.startswith(f"| `{name}` |")), None)
    assert row is not None, f"no row for {name} in the README's table"
    for parameter in MLPROJECT["entry_points"][name]["parameters"]:
        assert parameter == "config" or f"`{parameter}`" in row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_tells_to_run_is_there(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)(?:`|$| )", text, re.M)) <= targets
    for name in re.findall(r"\b(?:conf/[a-z_]+\.yaml|bench/[a-z_]+\.py)", text):
        assert (ROOT / name).is_file(), name
    for name in re.findall(r"python -m (bench(?:\.[a-z_]+)?)", text):
        assert find_spec(name) is not None, name
    for name, rest in re.findall(r"mlflow run \. -e ([a-z_]+)([^\n`]*)", text):
        said = help_of(name)
        keys = re.findall(r"-P ([a-z_]+)=", rest)
        assert [key for key in keys if f"--{key.replace('_', '-')} " not in said] == []
    for name, rest in re.findall(r"python -m steps\.([a-z_]+)([^\n`]*)", text.replace("\\\n", " ")):
        said, words = help_of(name), shlex.split(rest, comments=True)
        assert [word for word in words if word.startswith("--") and word not in said] == []
        told = dict(pairwise(words))
        values = values_from((told.get("--set", ""),), {})
        load_settings(ROOT / told.get("--config", CONFIG), values, told.get("--member"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file_that_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).is_file()] == []


def test_the_readme_is_of_the_first_ten_minutes_and_leads_to_every_page() -> None:
    assert len(README.splitlines()) <= 150
    assert {f"docs/{page.name}" for page in PAGES[1:]} <= set(re.findall(r"\]\(([^)]+)\)", README))


def test_the_demo_has_a_model_of_its_own_and_papers_name_the_one_that_make_serves() -> None:
    demo, full, real = (
        load_settings(ROOT / "conf" / f"{name}.yaml") for name in ("demo", "full", "real_prices")
    )
    names = [settings.registry.name for settings in (demo, full, real)]
    assert len(set(names)) == 3, "no version of one market is the champion of another's"
    served = f"{demo.registry.name}@{demo.registry.alias}"
    serving = (ROOT / "docs" / "serving.md").read_text()
    assert re.search(rf"^make serve +# {served} on", serving, re.M)
    assert re.search(rf"^make serve CONFIG=conf/full.yaml +# {full.registry.name}@", serving, re.M)
    assert f"models:/{served} " in serving
    assert f"-d @{demo.example}" in README
    pages = "".join(page.read_text() for page in PAGES)
    assert f"`--name {full.registry.name}` names" in pages
    assert (
        f'"{demo.registry.name}", "{demo.registry.alias}"' in (ROOT / "docs/library.md").read_text()
    )


@pytest.mark.parametrize("config", ["conf/demo.yaml", "conf/full.yaml"])
def test_make_serves_the_model_of_its_settings_file(config: str) -> None:
    command = ["make", "-n", "serve", *([] if "demo" in config else [f"CONFIG={config}"])]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"python -m steps.serve --config {config}" in said and "--model" not in said


def help_of(name: str) -> str:
    module = __import__(f"steps.{name}", fromlist=["main"])
    result = CliRunner().invoke(module.main, ["--help"], terminal_width=200)
    assert result.exit_code == 0
    return result.output


@pytest.mark.long
def test_a_wheel_holds_the_library_with_all_it_needs_and_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", "77")
    copy = tmp_path / "project"
    keep = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "quantgod", copy / "quantgod", ignore=keep)
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", str(tmp_path), str(copy)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("quantgod-*.whl")
    with zipfile.ZipFile(wheel) as held:
        names = held.namelist()
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        needed = re.findall(r"^Requires-Dist: (.*)$", held.read(metadata).decode(), re.M)
    written = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line]
    assert len(needed) == len([line for line in written if not line.startswith("#")])
    assert "quantgod/report/page.html.j2" in names
    inside = {name.split("/")[0] for name in names if not name.startswith("quantgod-")}
    assert inside == {"quantgod"}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "quantgod").rglob("*.py")}
    assert sources <= set(names)
