"""Linters and type checkers that a Python project declares: by their settings, or as something it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from apps.agents.languages.base import Project, part
from apps.agents.results import Check

REQUIREMENTS = re.compile(r"(?:.*/)?requirements[^/]*\.(?:txt|in)|requirements/[^/]+\.(?:txt|in)")
NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)
OWN_FILES = {
    "ruff": ("ruff.toml", ".ruff.toml"),
    "flake8": (".flake8",),
    "pylint": (".pylintrc", "pylintrc", ".pylintrc.toml"),
    "mypy": ("mypy.ini", ".mypy.ini"),
    "pyright": ("pyrightconfig.json",),
}
SECTIONS = ("setup.cfg", "tox.ini")
AWAY = ".venv,venv,node_modules,build,dist"


def linters(project: Project) -> list[Check]:
    """Formatting last: what is wrong comes before what looks wrong."""
    used = Declared(project)
    mypy = "" if used.mypy_names_its_files() else " src" if _has_source_folder(project) else " ."
    commands = {
        "ruff": "ruff check --no-cache --output-format concise .",
        "flake8": f"flake8 --extend-exclude {AWAY}",
        "pylint": "pylint --recursive=y --score=n .",
        "mypy": f"mypy --cache-dir /tmp/mypy{mypy}",
        "pyright": "pyright",
    }
    found = [
        Check("lint", tool, f"python -m {command}") for tool, command in commands.items() if used.uses(tool)
    ]
    if used.formats_with_ruff():
        found.append(Check("lint", "ruff format", "python -m ruff format --no-cache --check ."))
    if used.uses("black"):
        found.append(Check("lint", "black", "python -m black --check ."))
    return found


class Declared:
    """What the files of a project say about its tools."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._told = project.toml("pyproject.toml")
        self._hooks = project.hooks()
        self._packages = frozenset(_packages(project, self._told))

    def uses(self, tool: str) -> bool:
        project = self._project
        return (
            bool(part(self._told, "tool", tool))
            or project.holds(*OWN_FILES.get(tool, ()))
            or any(_has_section(project, path, tool) for path in SECTIONS)
            or tool in self._packages
            or tool in self._hooks
        )

    def formats_with_ruff(self) -> bool:
        own = part(self._told, "tool", "ruff", "format") or any(
            part(self._project.toml(path), "format") for path in OWN_FILES["ruff"]
        )
        return bool(own) or "ruff-format" in self._hooks or "ruff format" in self._project.pipelines()

    def mypy_names_its_files(self) -> bool:
        own = part(self._told, "tool", "mypy")
        for path in (*OWN_FILES["mypy"], *SECTIONS):
            sections = self._project.sections(path)
            own |= dict(sections["mypy"]) if sections.has_section("mypy") else {}
        return not {"files", "packages", "modules"}.isdisjoint(own)


def _has_section(project: Project, path: str, tool: str) -> bool:
    return project.holds(path) and any(
        name == tool or name.startswith((f"{tool}:", f"{tool}-", f"{tool}."))
        for name in project.sections(path).sections()
    )


def _has_source_folder(project: Project) -> bool:
    return any(path.startswith("src/") and path.endswith(".py") for path in project.files)


def _packages(project: Project, told: dict[str, Any]) -> Iterator[str]:
    """Names of packages that the project asks for, whatever form it does so in."""
    for text in _requirements(project, told):
        if name := NAME.match(text):
            yield re.sub(r"[-_.]+", "-", name[1]).lower()


def _requirements(project: Project, told: dict[str, Any]) -> Iterator[str]:
    about, tool = part(told, "project"), part(told, "tool")
    lists = [about.get("dependencies"), part(tool, "uv").get("dev-dependencies")]
    lists += part(about, "optional-dependencies").values()
    lists += part(told, "dependency-groups").values()
    lists += part(tool, "pdm", "dev-dependencies").values()
    for found in lists:
        yield from (one for one in (found if isinstance(found, list) else ()) if isinstance(one, str))
    poetry = part(tool, "poetry")
    for table in (poetry, *part(poetry, "group").values()):
        yield from part(table, "dependencies")
        yield from part(table, "dev-dependencies")
    pipfile = project.toml("Pipfile")
    yield from (*part(pipfile, "packages"), *part(pipfile, "dev-packages"))
    for path in SECTIONS:  # extras of setuptools, dependencies of tox
        sections = project.sections(path)
        for name in sections.sections():
            if name == "options.extras_require" or name.startswith("testenv"):
                values = (
                    sections[name] if name.startswith("options") else {"deps": sections[name].get("deps", "")}
                )
                yield from (line for value in values.values() for line in str(value).splitlines())
    for path in [path for path in project.files if REQUIREMENTS.fullmatch(path)][:10]:
        yield from project.text(path).splitlines()
