"""Go and Rust: their own tools say what a build, a lint and a test are."""

from __future__ import annotations

import re

from apps.agents.languages.base import MOST_READ, Project, part
from apps.agents.results import Check

GOLANGCI = (".golangci.yml", ".golangci.yaml", ".golangci.toml", ".golangci.json")
GO_FILES = "find . -name '*.go' ! -path '*/vendor/*' ! -path '*/testdata/*' ! -path './.*'"
GOFMT = (
    f"files=$({GO_FILES} -exec gofmt -l {{}} +) || exit 2; "
    "test -z \"$files\" || { printf '%s: not formatted as gofmt does it\\n' $files; exit 1; }"
)
DENIES = re.compile(r"(?:-D|--deny)[ =]warnings")


def go_checks(project: Project) -> list[Check]:
    if not project.holds("go.mod"):
        return []
    checks = [Check("build", "go build", "go build ./..."), Check("lint", "go vet", "go vet ./...")]
    if project.holds(*GOLANGCI):
        checks.append(Check("lint", "golangci-lint", "golangci-lint run ./..."))
    checks.append(Check("lint", "gofmt", GOFMT))
    if any(path.endswith("_test.go") for path in project.files):
        checks.append(Check("test", "go test", "go test -v ./..."))
    return checks


def rust_checks(project: Project) -> list[Check]:
    if not project.holds("Cargo.toml"):
        return []
    whole = " --workspace" if "workspace" in project.toml("Cargo.toml") else ""
    checks = [Check("build", "cargo build", f"cargo build --offline --all-targets{whole}")]
    checks += _rust_linters(project, whole)
    sources = [path for path in project.files if path.endswith(".rs")][:MOST_READ]
    if any("#[test]" in project.text(path) or "#[cfg(test)]" in project.text(path) for path in sources):
        checks.append(Check("test", "cargo test", f"cargo test --offline{whole}"))
    return checks


def _rust_linters(project: Project, whole: str) -> list[Check]:
    """Those that the project asks for, and those that come with the toolchain."""
    told, pipelines = project.toml("Cargo.toml"), project.pipelines()
    asks_clippy = (
        project.holds("clippy.toml", ".clippy.toml")
        or part(told, "lints", "clippy")
        or part(told, "workspace", "lints", "clippy")
        or "clippy" in pipelines
    )
    asks_format = project.holds("rustfmt.toml", ".rustfmt.toml") or "cargo fmt" in pipelines
    checks = []
    if asks_clippy or project.program("cargo-clippy"):
        strict = " -- -D warnings" if DENIES.search(pipelines) else ""
        checks.append(Check("lint", "clippy", f"cargo clippy --offline --all-targets{whole}{strict}"))
    if asks_format or project.program("cargo-fmt"):
        checks.append(Check("lint", "cargo fmt", "cargo fmt --all --check"))
    return checks
