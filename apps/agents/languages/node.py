"""Node: the scripts of package.json first, tools that are declared without a script after them."""

from __future__ import annotations

import json
import re

from apps.agents.languages.base import Project, part
from apps.agents.languages.node_managers import manager_of
from apps.agents.results import Check

SCRIPTS = {
    "build": (("build", "compile"),),
    "lint": (
        ("lint",),
        ("typecheck", "type-check", "check-types", "types", "tsc"),
        ("format:check", "check-format", "format-check", "prettier:check", "check:format"),
    ),
    "test": (("test",),),
}
ESLINT = re.compile(r"eslint\.config\.[cm]?[jt]s|\.eslintrc(?:\.(?:[cm]?js|json|ya?ml))?")
TYPES = re.compile(r"\btsc\b|\bvue-tsc\b|\bsvelte-check\b")
RUNNERS = {"vitest": "vitest run", "jest": "jest", "mocha": "mocha"}


def node_checks(project: Project) -> list[Check]:
    if not project.holds("package.json"):
        return _own_runner(project)
    try:
        package = json.loads(project.text("package.json") or "{}")
        scripts = package.get("scripts", {})
    except (ValueError, AttributeError):
        return [Check("build", "package.json", "node -e 'JSON.parse(fs.readFileSync(\"package.json\"))'")]
    scripts = part(package, "scripts")
    manager = manager_of(package, project.text)
    found = [
        Check(kind, f"{manager.name} {script}", manager.run(script))
        for kind, groups in SCRIPTS.items()
        for group in groups
        for script in [name for name in group if _is_real(scripts.get(name))][:1]
    ]
    found += _tools(project, scripts, {*part(package, "dependencies"), *part(package, "devDependencies")})
    if "test" not in {check.kind for check in found}:
        found += _own_runner(project)
    return found


def _is_real(script: object) -> bool:
    return bool(script) and "no test specified" not in str(script)


def _tools(project: Project, scripts: dict[str, object], packages: set[str]) -> list[Check]:
    """Tools that the project has settings for, and no script that runs them."""
    said = "\n".join(map(str, scripts.values()))
    found = []
    if (
        any(ESLINT.fullmatch(path) for path in project.files)
        and "eslint" in packages
        and "eslint" not in said
    ):
        found.append(Check("lint", "eslint", "eslint ."))
    if project.holds("biome.json", "biome.jsonc") and "@biomejs/biome" in packages and "biome" not in said:
        found.append(Check("lint", "biome", "biome ci ."))
    if project.holds("tsconfig.json") and "typescript" in packages and not TYPES.search(said):
        found.append(Check("lint", "tsc", "tsc --noEmit"))
    if not _is_real(scripts.get("test")):
        runner = next((name for name in RUNNERS if name in packages), "")
        found += [Check("test", runner, RUNNERS[runner])] if runner else []
    return found


def _own_runner(project: Project) -> list[Check]:
    tests = any(re.search(r"\.test\.[cm]?js$", path) for path in project.files)
    return [Check("test", "node --test", "node --test")] if tests else []
