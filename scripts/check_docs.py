"""Checks the docs: links resolve, every dependency has its reason, the diagram shows the real imports.

With --diagram it prints what the diagram in docs/architecture.md has to show.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURE = Path("docs/architecture.md")
DEPENDENCIES = Path("docs/dependencies.md")
PAGES = ("README.md", "CHANGELOG.md", "docs/**/*.md")

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.+?)\s*$", re.MULTILINE)
PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z0-9,]+\])?==", re.MULTILINE)
ROW = re.compile(r"^\| `([a-z0-9-]+)` \|", re.MULTILINE)
DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```", re.MULTILINE | re.DOTALL)
ARROW = re.compile(r"^\s*(\w+)(?:\[[^\]]*\])?\s*-->\s*(\w+)", re.MULTILINE)

Edges = set[tuple[str, str]]


def anchors(text: str) -> set[str]:
    """The fragments a page can be linked to, as GitHub makes them of its headings."""
    headings = HEADING.findall(FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(root: Path) -> Iterator[str]:
    pages = [page for pattern in PAGES for page in sorted(root.glob(pattern))]
    for page in pages:
        for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, fragment = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists():
                yield f"{page.relative_to(root)}: {target} is not there"
            elif (
                fragment
                and file.suffix == ".md"
                and fragment not in anchors(file.read_text(encoding="utf-8"))
            ):
                yield f"{page.relative_to(root)}: {target} has no such heading"


def unexplained_pins(root: Path) -> Iterator[str]:
    pins: set[str] = set()
    for name in ("requirements.in", "requirements-dev.in"):
        pins.update(PIN.findall((root / name).read_text(encoding="utf-8")))
    explained = set(ROW.findall((root / DEPENDENCIES).read_text(encoding="utf-8")))
    for name in sorted(pins - explained):
        yield f"{DEPENDENCIES}: {name} is pinned but has no reason"
    for name in sorted(explained - pins):
        yield f"{DEPENDENCIES}: {name} is explained but not pinned"


def imports_between_apps() -> Edges:
    graph = grimp.build_graph("apps", cache_dir=None)
    edges: Edges = set()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            source, target = module.split(".")[1:2], imported.split(".")[1:2]
            if source and target and source != target:
                edges.add((source[0], target[0]))
    return edges


def reduced(edges: Edges) -> Edges:
    """Without every arrow that a chain of others implies: what a reader can take in."""

    def reaches(start: str, goal: str) -> bool:
        todo, seen = [start], {start}
        while todo:
            steps = {target for source, target in edges if source == todo[-1]} - seen
            todo.pop()
            if goal in steps:
                return True
            seen |= steps
            todo.extend(steps)
        return False

    return {
        (source, target)
        for source, target in edges
        if not any(reaches(middle, target) for start, middle in edges if start == source and middle != target)
    }


def layers(root: Path) -> list[set[str]]:
    """The layers of the import contract, highest first."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    contract = next(contract for contract in contracts if contract["id"] == "layers")
    return [{name.strip(" ()") for name in layer.split("|")} for layer in contract["layers"]]


def diagram(edges: Edges, order: Iterable[set[str]]) -> str:
    place = {name: number for number, layer in enumerate(order) for name in layer}
    lines = sorted(edges, key=lambda edge: (place[edge[0]], edge[0], place[edge[1]], edge[1]))
    return "\n".join(["flowchart TD", *(f"    {source} --> {target}" for source, target in lines)])


def wrong_arrows(root: Path, wanted: Edges) -> Iterator[str]:
    match = (
        DIAGRAM.search((root / ARCHITECTURE).read_text(encoding="utf-8"))
        if (root / ARCHITECTURE).exists()
        else None
    )
    if match is None:
        yield f"{ARCHITECTURE}: there is no mermaid diagram"
        return
    drawn = set(ARROW.findall(match[1]))
    for source, target in sorted(wanted - drawn):
        yield f"{ARCHITECTURE}: the code has {source} --> {target}, the diagram does not"
    for source, target in sorted(drawn - wanted):
        yield f"{ARCHITECTURE}: the diagram has {source} --> {target}, the code does not"


def main() -> int:
    wanted = reduced(imports_between_apps())
    if "--diagram" in sys.argv[1:]:
        print(diagram(wanted, layers(ROOT)))
        return 0
    problems = [*broken_links(ROOT), *unexplained_pins(ROOT), *wrong_arrows(ROOT, wanted)]
    for problem in problems:
        print(problem)
    if any(problem.startswith(str(ARCHITECTURE)) for problem in problems):
        print("`python -m scripts.check_docs --diagram` prints the diagram as it should be.")
    print("Documentation: " + (f"{len(problems)} problems" if problems else "ok"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
