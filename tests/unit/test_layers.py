"""The walls of the house: imports go down only, and what is pure stays pure."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lmgw

PACKAGE = Path(lmgw.__file__).parent

#: From the ground up. What stands in one line may use each other, without a circle.
LAYERS = (
    ("errors", "plainsocket", "secret", "version"),
    ("config",),
    ("wire",),
    ("core",),
    ("state", "upstream"),
    ("gateway",),
    ("web",),
    ("listeners", "logs", "notify", "operations", "reload", "signals"),
    ("service",),
    ("tap", "cli", "entrypoint"),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

PURE = ("wire", "core")
#: Time, chance, the environment and the network are handed in.
IMPURE = {"twisted", "time", "os", "random", "socket", "secrets", "asyncio", "threading", "subprocess", "ssl", "select"}

FILES = {
    ".".join(("lmgw", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(module: str) -> Iterator[str]:
    """Every module that ``module`` imports, in functions and for types too."""
    for node in ast.walk(ast.parse(FILES[module].read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in FILES else node.module or ""


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else "errors"


@pytest.mark.parametrize("module", FILES)
def test_imports_go_down_only(module):
    assert layer(module) in RANK, f"{module} has no place in LAYERS"
    above = [it for it in imports(module) if it.split(".")[0] == "lmgw" and RANK[layer(it)] > RANK[layer(module)]]
    assert not above, f"{module} imports from above: {above}"


@pytest.mark.parametrize("module", [module for module in FILES if layer(module) in PURE])
def test_wire_and_core_touch_nothing_outside(module):
    impure = IMPURE & {it.split(".")[0] for it in imports(module)}
    assert not impure, f"{module} is not pure: {sorted(impure)}"


def test_no_two_neighbours_import_each_other():
    edges = {(layer(module), layer(it)) for module in FILES for it in imports(module) if it in FILES}
    mutual = [(one, other) for one, other in edges if one < other and (other, one) in edges]
    assert not mutual
