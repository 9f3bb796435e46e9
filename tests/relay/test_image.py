"""The lists of what each container image holds (pyproject.toml) against what its program imports."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

COMES_WITH = {"yaml": "pyyaml", "pydantic_core": "pydantic", "starlette": "fastapi", "cryptography": "aiortc"}
"""Modules whose distribution has another name, or is brought by one of the list."""


def imported(folder: Path) -> set[str]:
    """First names of what the modules in that folder import, other than Python's own and ours."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return {name for name in found if name not in sys.stdlib_module_names and not name.startswith("transponder_")}


def names(requirements: list[str]) -> set[str]:
    return {Requirement(one).name for one in requirements}


@pytest.mark.parametrize("program", ["api", "operator", "relay"])
def test_an_image_holds_what_its_program_imports(program: str) -> None:
    held = names(PROJECT["dependency-groups"][f"image-{program}"])
    assert held <= names(PROJECT["project"]["dependencies"])
    wanted = {
        COMES_WITH.get(name, name.replace("_", "-")) for name in imported(ROOT / program / f"transponder_{program}")
    }
    assert wanted <= held
