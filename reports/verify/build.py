"""Join the modules of the verifier into a single file: `python -m reports.verify.build OUT`.

The single file needs the standard library and `cryptography`, and no installation of this
program. The same modules always give the same bytes.

A module of the verifier may import the standard library, `cryptography` and other modules of the
verifier, as `import x` or `from x import y`, at its top. No two modules may define the same name.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = "reports.verify"
THIRD_PARTY = "cryptography"
WIDTH = 100  # of a line
_LEFT_OUT = ("__init__", "build")
_MADE_BY = (
    "# Made by reports.verify.build out of the modules of reports/verify: change those instead."
)


class NotSelfContained(Exception):
    """The modules cannot be joined; the message says why."""


@dataclass(frozen=True)
class Module:
    """One module, split into the parts that the single file is made of.

    Attributes:
        needs: modules of the verifier that it imports.
        imports: other modules that it imports, and for `from` imports a name in them.
        defines: the names that it defines at its top level.
        body: its source behind the imports.
    """

    name: str
    docstring: str
    needs: frozenset[str]
    imports: frozenset[tuple[str, str | None]]
    defines: tuple[str, ...]
    body: str


@cache
def single_file() -> bytes:
    """Return the single-file verifier."""
    sources = {
        path.stem: path.read_text("utf-8")
        for path in Path(__file__).parent.glob("*.py")
        if path.stem not in _LEFT_OUT
    }
    return join(sources).encode()


def join(sources: Mapping[str, str]) -> str:
    """Join modules into one; the docstring of `__main__` is the docstring of the result.

    Args:
        sources: the text of each module by its name; `__main__` must need all of them.

    Raises:
        NotSelfContained: a module imports something else, or two define the same name.
    """
    modules = _sorted_by_need({name: parse_module(name, text) for name, text in sources.items()})
    _check_names(modules)
    head = [f'"""{modules[-1].docstring}"""', _MADE_BY, _import_block(modules)]
    return "\n\n".join([*head, "\n\n\n".join(_section(module) for module in modules)]) + "\n"


def parse_module(name: str, text: str) -> Module:
    """Split the source of a module.

    Raises:
        NotSelfContained: it imports something that the single file may not need.
    """
    tree = ast.parse(text)
    at_top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    everywhere = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    docstring = ast.get_docstring(tree, clean=False)
    if docstring is None or not everywhere or tree.body[1 : len(everywhere) + 1] != at_top:
        raise NotSelfContained(f"{name} does not begin with a docstring and all its imports")
    needs: set[str] = set()
    imports: set[tuple[str, str | None]] = set()
    for node in at_top:
        for imported, attribute in _imported(name, node):
            if imported.startswith(f"{PACKAGE}."):
                needs.add(imported.removeprefix(f"{PACKAGE}."))
            elif imported != "__future__":
                imports.add((imported, attribute))
    last = max(node.end_lineno or 0 for node in at_top)
    body = "\n".join(text.splitlines()[last:]).strip("\n")
    defines = tuple(defined for node in tree.body for defined in _defined(node))
    return Module(name, docstring, frozenset(needs), frozenset(imports), defines, body)


def _imported(name: str, node: ast.Import | ast.ImportFrom) -> Iterable[tuple[str, str | None]]:
    """Yield module and attribute of each import in a statement."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            module, attribute = "." * node.level + (node.module or ""), alias.name
        else:
            module, attribute = alias.name, None
        root = module.partition(".")[0]
        if alias.asname or attribute == "*" or (attribute is None and root != module):
            raise NotSelfContained(f"{name} imports {module} in a form that cannot be joined")
        is_own = module.startswith(f"{PACKAGE}.") and attribute is not None
        if not is_own and root != THIRD_PARTY and root not in sys.stdlib_module_names:
            raise NotSelfContained(f"{name} imports {module}")
        yield module, attribute


def _defined(node: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [
            inner.id
            for target in targets
            for inner in ast.walk(target)
            if isinstance(inner, ast.Name)
        ]
    return []


def _sorted_by_need(modules: dict[str, Module]) -> list[Module]:
    """Sort modules so that each comes after those it needs; equal ones by name."""
    done: dict[str, Module] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise NotSelfContained(f"modules need one another: {' -> '.join((*path, name))}")
        if name not in modules:
            raise NotSelfContained(f"{path[-1]} imports {name}, which is no module of {PACKAGE}")
        if name not in done:
            for needed in sorted(modules[name].needs):
                visit(needed, (*path, name))
            done[name] = modules[name]

    visit("__main__", ())
    if left := sorted(set(modules) - set(done)):
        raise NotSelfContained(f"nothing needs {', '.join(left)}")
    return list(done.values())


def _check_names(modules: list[Module]) -> None:
    """Raise NotSelfContained if a name means one thing here and another there."""
    meanings: dict[str, str] = dict.fromkeys(dir(builtins), "builtins")
    meanings = {name: where for name, where in meanings.items() if not name.startswith("__")}
    for imported, attribute in sorted(
        {one for module in modules for one in module.imports}, key=str
    ):
        name, where = attribute or imported, f"an import of {imported}"
        if meanings.setdefault(name, where) != where:
            raise NotSelfContained(f"{name} is {meanings[name]} and {where}")
    for module in modules:
        for name in dict.fromkeys(module.defines):
            if meanings.setdefault(name, module.name) != module.name:
                raise NotSelfContained(f"{name} is of {meanings[name]} and of {module.name}")


def _import_block(modules: list[Module]) -> str:
    """Return one import statement for each imported module, the standard library first."""
    names: dict[str, set[str | None]] = {}
    for imported, attribute in (one for module in modules for one in module.imports):
        names.setdefault(imported, set()).add(attribute)
    blocks = ["from __future__ import annotations"]
    for is_third_party in (False, True):
        block = [name for name in sorted(names) if name.startswith(THIRD_PARTY) == is_third_party]
        lines = [f"import {name}" for name in block if None in names[name]]
        lines += [
            _from_import(name, [attribute for attribute in names[name] if attribute])
            for name in block
            if names[name] != {None}
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(block for block in blocks if block)


def _from_import(module: str, attributes: list[str]) -> str:
    """Return a `from` import, sorted as Ruff does: constants, classes, then functions."""
    ordered = sorted(attributes, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in ordered), ")"])


def _section(module: Module) -> str:
    """Return a module's body below a comment with its name and docstring.

    The docstring of `__main__` is left out, since the file begins with it.
    """
    name, text = module.name.replace("_", " "), module.docstring
    if module.name == "__main__":
        name, text = "command line", ""
    heading = [f"# ---- {name} ".ljust(WIDTH, "-")]
    heading += [f"# {line}".rstrip() for line in text.strip().splitlines()]
    space = "\n\n\n" if module.body.startswith(("def ", "class ", "@")) else "\n\n"
    return "\n".join(heading) + space + module.body


def main() -> None:
    """Run the command: write the single file and print its SHA-256."""
    parser = argparse.ArgumentParser(description="Write the verifier as a single file.")
    parser.add_argument("out", type=Path, help="the file to write, such as verify_bundle.py")
    out: Path = parser.parse_args().out
    out.write_bytes(single_file())
    sys.stdout.write(f"{out}: SHA-256 {hashlib.sha256(single_file()).hexdigest()}\n")


if __name__ == "__main__":
    main()
