"""What holds for the whole source tree."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import mobilegeo
from conftest import REPOSITORY
from mobilegeo.cli import evaluate as cli_evaluate
from mobilegeo.evaluation.metrics import DEFAULT_WRONG_M

PACKAGE = Path(mobilegeo.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
LEARNING = PACKAGE / "learn"
DEVICE_MODULES = [path for path in MODULES if not path.is_relative_to(LEARNING)]
DOORS = (
    *(
        PACKAGE / "cli" / f"{name}.py"
        for name in (
            "bench",
            "check_data",
            "learn",
            "learn_adapt",
            "learn_evaluate",
            "learn_export",
            "simulate",
        )
    ),
    PACKAGE / "encoder" / "runtimes.py",
)
"""The device modules that may call the learning wing, from inside their functions."""

NEVER_ON_A_DEVICE = ("torch", "timm", "torchvision", "scipy", "matplotlib", "pandas", "pyarrow")
NOT_ON_EVERY_DRONE = ("rasterio", "faiss", "arro3")
"""Left out by `requirements/onboard.txt`."""
MAX_LINES = 350
MAX_IMPORT_S = 0.3

_IMPORT_ALL = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocker())
for name in {names!r}:
    importlib.import_module(name)
loaded = sorted(set(sys.modules) & set({blocked!r}))
learning = sorted(name for name in sys.modules if name.startswith("mobilegeo.learn"))
assert not loaded and not learning, (loaded, learning)
print(len({names!r}))
"""

_TIME_IMPORT = """
import sys, time
start = time.process_time()
import mobilegeo
print(time.process_time() - start)
print(*sorted({"numpy", "cv2", "onnxruntime", "rasterio", "pyproj", "rich"} & set(sys.modules)))
"""


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def label(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PACKAGE.parent), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names that the import statements below a node name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_deferred(node: ast.stmt) -> bool:
    """Whether a statement of a module does not run when it is imported."""
    only_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef) or only_types


def is_learning(name: str) -> bool:
    return name == "mobilegeo.learn" or name.startswith("mobilegeo.learn.")


@pytest.mark.parametrize("blocked", [NEVER_ON_A_DEVICE, NOT_ON_EVERY_DRONE], ids=["learn", "few"])
def test_device_wing_imports_without(blocked: tuple[str, ...]) -> None:
    names = [module_name(path) for path in DEVICE_MODULES]
    assert "mobilegeo.cli.locate" in names
    code = _IMPORT_ALL.format(blocked=blocked, names=names)
    assert int(python(code)) == len(names)


@pytest.mark.parametrize("path", DEVICE_MODULES, ids=label)
def test_device_module_names_no_learning_library_not_even_in_a_function(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set(imported(tree))
    assert not {name.partition(".")[0] for name in names} & set(NEVER_ON_A_DEVICE)
    if path not in DOORS:
        assert not [name for name in names if is_learning(name)]


@pytest.mark.parametrize("door", DOORS, ids=lambda path: path.stem)
def test_the_doors_to_the_learning_wing_open_on_demand(door: Path) -> None:
    tree = ast.parse(door.read_text(encoding="utf-8"))
    assert any(is_learning(name) for name in imported(tree))
    at_import = ast.Module([n for n in tree.body if not is_deferred(n)], [])
    assert not any(is_learning(name) for name in imported(at_import))


def test_import_is_quick_and_loads_nothing_heavy() -> None:
    outputs = [python(_TIME_IMPORT).split("\n") for _ in range(3)]
    seconds = sorted(float(lines[0]) for lines in outputs)
    assert seconds[1] < MAX_IMPORT_S
    assert {lines[1] for lines in outputs} == {""}


def test_the_command_line_starts_without_the_libraries_that_compute() -> None:
    heavy = ("numpy", "cv2", "onnxruntime", "faiss", "rasterio", "pyproj", "PIL", "rich")
    code = f"""
import sys
import mobilegeo.cli
sys.argv = ["mobilegeo", "--help"]
try:
    mobilegeo.cli.main()
except SystemExit as end:
    assert not end.code
print("loaded", *sorted(set({heavy}) & set(sys.modules)))
"""
    assert python(code).splitlines()[-1] == "loaded"


def test_defaults_that_the_command_line_repeats_are_the_librarys() -> None:
    assert cli_evaluate.WRONG_M == DEFAULT_WRONG_M


def test_public_names_exist() -> None:
    assert all(getattr(mobilegeo, name) is not None for name in mobilegeo.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = mobilegeo.Nonsense


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_module_has_a_docstring_and_is_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert len(text.splitlines()) <= MAX_LINES


def test_version_is_told_once() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == mobilegeo.__version__
