"""Real projects whose dependencies are installed and whose checks run in the sandbox.

A test is skipped where its language's tools are not on the machine.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.agents.checks import run_checks
from apps.agents.dependencies import dependencies_provide
from apps.agents.project_checks import worktree_checks
from apps.agents.results import CheckReport, CheckResult
from apps.agents.sandbox import Sandbox, sandbox_program, sandbox_status
from apps.projects.models import Project
from tests.agents.registries import crate, go_module, served

pytestmark = pytest.mark.skipif(not sandbox_status().available, reason="no sandbox here")


@pytest.fixture
def root(settings: Settings, tmp_path: Path) -> Path:
    settings.LOOM_DATA_DIR = tmp_path / "data"
    place = tmp_path / "tree"
    place.mkdir()
    return place


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def check(root: Path, *, download: bool = False) -> CheckReport:
    """Dependencies, then every check, without a network."""
    given = dependencies_provide(Project(pk=7, allow_install=download), root)
    checks = worktree_checks(root, [])
    return run_checks(checks, root, Sandbox(extra=given.extra), 120, note=given.note)


def by_name(report: CheckReport) -> dict[str, CheckResult]:
    return {result.check.name: result for result in report.results}


# Python: linters that the project declares, from wheels in its repository.


def packed(name: str, folder: Path) -> bool:
    """An installed package as the wheel that it came from; False if it is not installed."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    about = f"{found.metadata['Name'].replace('-', '_')}-{found.version}"
    tag = (found.read_text("WHEEL") or "").partition("Tag: ")[2].split()[0]
    names = []
    with zipfile.ZipFile(folder / f"{about}-{tag}.whl", "w") as archive:
        for file in found.files or ():
            data = Path(str(found.locate_file(file)))
            is_script = file.parts[0] == ".."
            if file.name in {"RECORD", "INSTALLER"} or file.suffix == ".pyc" or not data.is_file():
                continue
            if is_script and data.read_bytes()[:2] == b"#!":
                continue  # made from the entry points when it is installed
            names.append(f"{about}.data/scripts/{data.name}" if is_script else str(file))
            archive.write(data, names[-1])
        record = next(str(file) for file in found.files or () if file.name == "RECORD")
        archive.writestr(record, "".join(f"{name},,\n" for name in [*names, record]))
    return True


PYPROJECT = """
[project]
name = "shop"
version = "1"

[dependency-groups]
dev = [{include-group = "lint"}]
lint = ["ruff"]

[tool.ruff.format]
quote-style = "double"

[tool.mypy]
strict = true
"""
GOOD = {
    "pyproject.toml": PYPROJECT,
    "src/shop/__init__.py": "def total(prices: list[int]) -> int:\n    return sum(prices)\n",
    "tests/test_total.py": (
        "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n"
        "    def test_sum(self) -> None:\n        self.assertEqual(total([1, 2]), 3)\n"
    ),
}
BAD = "import os\ndef total(prices: list[int]) -> str:\n    return sum(prices)\n"


@pytest.fixture
def wheels(root: Path) -> Path:
    """Lists of requirements that take ruff and mypy out of the repository."""
    folder = root / "wheels"
    folder.mkdir()
    names = ("ruff", "mypy", "mypy_extensions", "typing_extensions", "pathspec", "librt", "ast-serialize")
    here = [name for name in names if packed(name, folder)]
    if not {"ruff", "mypy"} <= set(here):
        pytest.skip("no ruff and mypy on this machine")
    (root / "requirements-dev.txt").write_text("--no-index\n--find-links wheels\nruff\nmypy\n")
    return folder


@pytest.mark.usefixtures("wheels")
def test_python_is_linted_typed_and_tested_by_what_it_declares(root: Path) -> None:
    write(root, {**GOOD, "pyproject.toml": PYPROJECT.replace('lint = ["ruff"]', "lint = []")})
    good = check(root)
    assert good.passed, good.summary()
    assert [result.check.name for result in good.results] == [
        "compile", "ruff", "mypy", "ruff format", "unittest tests",
    ]  # fmt: skip
    write(root, {"src/shop/__init__.py": BAD})
    bad = by_name(check(root))
    assert [name for name, result in bad.items() if not result.passed] == ["ruff", "mypy", "ruff format"]
    assert bad["ruff"].error_count
    assert "src/shop/__init__.py:1 F401" in bad["ruff"].failures
    assert bad["mypy"].error_count == 1
    assert bad["mypy"].first_error.startswith("src/shop/__init__.py:3: ")
    assert bad["ruff format"].failures
    assert bad["unittest tests"].passed_count == 1
    assert not list(root.rglob("__pycache__")) + list(root.rglob(".*_cache"))


def test_a_linter_that_is_declared_and_not_there_is_no_pass(root: Path) -> None:
    write(root, GOOD)
    report = check(root)
    assert not report.passed
    assert "downloading is off for this project" in report.note
    ruff = by_name(report)["ruff"]
    assert ruff.first_error.startswith("ruff is not available where checks run.")


# Rust, Go, Node.


CARGO = """
[package]
name = "shop"
version = "0.1.0"
edition = "2021"

[dependencies]
greet = { version = "1", registry = "small" }

[[bin]]
name = "tool"
path = "tools/tool.rs"
"""
RUST = """\
pub fn hello() -> String {
    greet::hello().to_string()
}

#[test]
fn says() {
    assert_eq!(hello(), "hello");
}
"""


@pytest.mark.skipif(not sandbox_program("cargo"), reason="no cargo here")
def test_crates_are_fetched_once_and_rust_is_checked_without_a_network(root: Path) -> None:
    registry = root.parent / "registry"
    with served(registry) as address:
        crate(registry, address)
        settings = f'[registries.small]\nindex = "sparse+{address}/"\n'
        write(root, {"Cargo.toml": CARGO, ".cargo/config.toml": settings})
        write(root, {"src/lib.rs": RUST, "tools/tool.rs": "fn main() {}\n"})
        assert "downloading is off" in dependencies_provide(Project(pk=7), root).note
        good = check(root, download=True)
    assert good.passed, good.summary()
    assert by_name(good)["cargo test"].passed_count == 1
    (root / "Cargo.lock").unlink()  # a lock file that was not there is another state
    write(root, {"src/lib.rs": RUST.replace(".to_string()", "")})
    bad = by_name(check(root, download=True))  # the registry is gone: what was fetched is kept
    assert bad["cargo build"].first_error == "src/lib.rs:2: mismatched types [E0308]"
    assert not bad["cargo test"].passed


@pytest.mark.skipif(not sandbox_program("go"), reason="no Go here")
def test_modules_of_go_are_fetched_once_and_checked_without_a_network(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = root.parent / "proxy"
    go_module(proxy)
    code = 'package shop\n\nimport "example.com/greet"\n\nfunc Hello() string { return greet.Hello() }\n'
    test = (
        'package shop\n\nimport "testing"\n\nfunc TestHello(t *testing.T) {\n\tif Hello() != "hello" {\n'
        '\t\tt.Fatal("no hello")\n\t}\n}\n'
    )
    with served(proxy) as address:
        monkeypatch.setenv("GOPROXY", address)
        monkeypatch.setenv("GOSUMDB", "off")
        sums = "example.com/greet v1.0.0 h1:{}\nexample.com/greet v1.0.0/go.mod h1:{}\n"
        write(
            root,
            {
                "go.mod": "module example.com/shop\n\ngo 1.19\n\nrequire example.com/greet v1.0.0\n",
                "go.sum": sums.format(*go_sums(proxy)), "shop.go": code, "shop_test.go": test,
            },
        )  # fmt: skip
        good = check(root, download=True)
    assert good.passed, good.summary()
    write(root, {"shop.go": code.replace("greet.Hello()", "greet.Bye()")})
    bad = by_name(check(root, download=True))
    assert bad["go build"].first_error.startswith("shop.go:5: undefined: greet.Bye")


def go_sums(proxy: Path) -> Iterator[str]:
    """Hashes of the module and of its go.mod, as Go's `dirhash` makes them."""
    place = proxy / "example.com" / "greet" / "@v"
    with zipfile.ZipFile(place / "v1.0.0.zip") as archive:
        whole = [(name, archive.read(name)) for name in sorted(archive.namelist())]
    for files in (whole, [("go.mod", (place / "v1.0.0.mod").read_bytes())]):
        lines = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files)
        yield base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()


@pytest.mark.skipif(not sandbox_program("npm"), reason="no npm here")
def test_scripts_of_node_are_checks_and_a_missing_linter_is_told(root: Path) -> None:
    scripts = {"test": "node --test", "lint": "eslint .", "typecheck": "node types.js"}
    types = "console.log('src/a.ts(3,5): error TS2322: Type string is no number.');process.exitCode = 2;\n"
    write(
        root,
        {
            "package.json": json.dumps({"scripts": scripts}),
            "types.js": types,
            "a.test.js": "require('node:test')('adds', () => {});\n",
        },
    )
    results = by_name(check(root))
    assert results["npm test"].passed
    assert results["npm lint"].first_error.startswith("eslint is not available where checks run.")
    assert results["npm typecheck"].first_error == "src/a.ts:3: Type string is no number. [TS2322]"
