"""Draws the packages of docs/architecture.md and the imports between them.

`python -m tests.draw_architecture` updates the page. An arrow means that modules of one package
import modules of the other, and its number says how many do. tests/test_architecture.py fails if
the drawing differs from the code.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import grimp

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
ROOTS = ("crawlers", "face_index", "reports", "scanner")
BEGIN, END = "<!-- drawn by tests/draw_architecture.py -->", "<!-- end of the drawing -->"


def rooms_and_arrows() -> tuple[list[str], Counter[tuple[str, str]]]:
    """Return all packages, and how many modules of one import modules of another."""
    graph = grimp.build_graph(*ROOTS)
    rooms = sorted(module for module in graph.modules if graph.find_children(module))
    arrows: Counter[tuple[str, str]] = Counter()
    for module in sorted(graph.modules):
        own = _room_of(module, rooms)
        reached = {
            _room_of(found, rooms) for found in graph.find_modules_directly_imported_by(module)
        }
        arrows.update((own, other) for other in reached - {own})
    return rooms, arrows


def _room_of(module: str, rooms: list[str]) -> str:
    return max((room for room in rooms if module == room or module.startswith(f"{room}.")), key=len)


def drawing() -> str:
    """Return the drawing in Mermaid.

    Each root is a box around its packages. Arrows lead between packages of a root and between
    roots.
    """
    rooms, arrows = rooms_and_arrows()
    inside = {
        pair: count
        for pair, count in arrows.items()
        if pair[0].split(".")[0] == pair[1].split(".")[0]
    }
    across: Counter[tuple[str, str]] = Counter()
    for (source, target), count in arrows.items():
        if (source, target) not in inside:
            across[source.split(".")[0], target.split(".")[0]] += count
    lines = ["```mermaid", "flowchart TD"]
    for root in ROOTS:
        lines.append(f"  subgraph {root}_rooms[{root}]")
        lines += [f"    {_name(room)}[{room}]" for room in rooms if room.split(".")[0] == root]
        lines.append("  end")
    for (source, target), count in sorted(inside.items()):
        back = inside.get((target, source))
        if back is None:
            lines.append(f"  {_name(source)} -->|{count}| {_name(target)}")
        elif source < target:
            lines.append(f"  {_name(source)} <-->|{count} and {back} back| {_name(target)}")
    lines += [
        f"  {source}_rooms ==>|{count}| {target}_rooms"
        for (source, target), count in sorted(across.items())
    ]
    return "\n".join([*lines, "```"])


def _name(room: str) -> str:
    return room.replace(".", "_")


def drawn(page: str) -> str:
    """The page with the drawing as the code is now."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{drawing()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text("utf-8")), "utf-8")
