"""Linters, type checkers and compilers: which a project declares, and what is made of what they print."""

from __future__ import annotations

import json

import pytest

from apps.agents.checks import detect_checks, read_result
from apps.agents.results import Check, CheckResult, CommandResult


def names(files: dict[str, str], programs: tuple[str, ...] = ()) -> list[str]:
    checks = detect_checks(list(files), lambda path: files[path].encode(), (), programs.__contains__)
    return [check.name for check in checks if check.kind == "lint"]


def commands(files: dict[str, str]) -> dict[str, str]:
    checks = detect_checks(list(files), lambda path: files[path].encode(), (), lambda program: False)
    return {check.name: check.command for check in checks}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, []),
        ({"pyproject.toml": "[tool.ruff]\nline-length = 100\n"}, ["ruff"]),
        ({"pyproject.toml": "[tool.ruff.format]\nquote-style = 'single'\n"}, ["ruff", "ruff format"]),
        ({"ruff.toml": "[format]\nindent-style = 'tab'\n"}, ["ruff", "ruff format"]),
        ({"pyproject.toml": "[dependency-groups]\ndev = ['Ruff>=0.5', 'mypy ~= 1.0']\n"}, ["ruff", "mypy"]),
        ({"pyproject.toml": "[project.optional-dependencies]\ndev = ['flake8']\n"}, ["flake8"]),
        ({"pyproject.toml": "[tool.poetry.group.dev.dependencies]\npyright = '*'\n"}, ["pyright"]),
        ({"setup.cfg": "[flake8]\nignore = E1\n[mypy-foo.*]\nignore_errors = True\n"}, ["flake8", "mypy"]),
        ({"tox.ini": "[testenv:lint]\ndeps =\n  flake8\n  black\n"}, ["flake8", "black"]),
        ({"requirements-dev.txt": "mypy==1.0  # types\n# ruff\n"}, ["mypy"]),
        ({"requirements/dev.in": "pylint\n"}, ["pylint"]),
        ({".pre-commit-config.yaml": "repos:\n- hooks:\n  - id: ruff-format\n  - id: mypy\n"},
         ["mypy", "ruff format"]),
        ({"pyrightconfig.json": "{}", "mypy.ini": "[mypy]\n"}, ["mypy", "pyright"]),
        ({"Pipfile": "[dev-packages]\nblack = '*'\n"}, ["black"]),
        ({"pyproject.toml": "not toml [", "setup.cfg": "no section", ".pre-commit-config.yaml": "{"}, []),
        ({"requirements.txt": "ruffus\nmypy-extensions\n"}, []),
    ],
)  # fmt: skip
def test_python_linters_are_those_that_the_project_declares(
    files: dict[str, str], expected: list[str]
) -> None:
    assert names({"app.py": "", **files}) == expected


def test_mypy_looks_where_its_settings_say_else_at_the_source() -> None:
    ini = {"mypy.ini": "[mypy]\nfiles = app\n", "src/app.py": ""}
    assert commands(ini)["mypy"].endswith("--cache-dir /tmp/mypy")
    assert commands({"mypy.ini": "[mypy]\n", "src/app.py": ""})["mypy"].endswith(" src")
    assert commands({"mypy.ini": "[mypy]\n", "app.py": ""})["mypy"].endswith(" .")


def test_rust_is_linted_by_what_comes_with_it_or_is_asked_for() -> None:
    crate = {"Cargo.toml": "[package]\nname = 'a'\n"}
    assert names(crate) == []
    assert names(crate, ("cargo-clippy", "cargo-fmt")) == ["clippy", "cargo fmt"]
    assert names({**crate, "rustfmt.toml": ""}) == ["cargo fmt"]
    assert names({"Cargo.toml": "[lints.clippy]\nall = 'deny'\n"}) == ["clippy"]
    strict = {"Cargo.toml": "[workspace]\n", ".github/workflows/ci.yml": "run: cargo clippy -- -D warnings"}
    assert commands(strict)["clippy"] == "cargo clippy --offline --all-targets --workspace -- -D warnings"


@pytest.mark.parametrize(
    ("files", "package", "expected"),
    [
        ({}, {"scripts": {"lint": "eslint .", "typecheck": "tsc"}}, ["npm lint", "npm typecheck"]),
        ({"pnpm-lock.yaml": "lockfileVersion: '9.0'"}, {"scripts": {"lint": "eslint ."}}, ["pnpm lint"]),
        ({"yarn.lock": "# yarn"}, {"scripts": {"types": "tsc", "format:check": "prettier -c ."}},
         ["yarn types", "yarn format:check"]),
        ({"package-lock.json": "{}"}, {"packageManager": "yarn@4.1.0", "scripts": {"lint": "x"}},
         ["yarn lint"]),
        ({"eslint.config.js": "", "tsconfig.json": "{}"},
         {"devDependencies": {"eslint": "9", "typescript": "5"}}, ["eslint", "tsc"]),
        ({"eslint.config.js": "", "tsconfig.json": "{}"},
         {"devDependencies": {"eslint": "9", "typescript": "5"}, "scripts": {"ci": "eslint . && tsc"}}, []),
        ({".eslintrc.json": "{}"}, {}, []),
    ],
)  # fmt: skip
def test_node_runs_scripts_by_its_manager_and_declared_tools_without_one(
    files: dict[str, str], package: dict[str, object], expected: list[str]
) -> None:
    assert names({**files, "package.json": json.dumps(package)}) == expected


def test_a_runner_of_node_without_a_script_is_found_among_the_dependencies() -> None:
    package = {"devDependencies": {"vitest": "1"}, "scripts": {"build": "vite build"}}
    assert commands({"package.json": json.dumps(package), "yarn.lock": "x"}) == {
        "yarn build": "yarn run build", "vitest": "vitest run",
    }  # fmt: skip


# What they print.

RUFF_FULL = """\
F401 [*] `os` imported but unused
 --> app.py:1:8
  |
1 | import os
  |        ^^
help: Remove unused import: `os`

Found 1 error.
"""
RUFF_FORMAT = """\
unformatted: File would be reformatted
 --> app.py:2:1
  |
1 | import os

1 file would be reformatted
"""
MYPY = """\
app.py:2: error: Function is missing a type annotation  [no-untyped-def]
app.py:2: note: Use "-> None"
tests/test_a.py:3: error: Call to untyped function "f"  [no-untyped-call]
Found 2 errors in 2 files (checked 2 source files)
"""
PYRIGHT = """\
/work/bad.py
  /work/bad.py:3:12 - error: Type "int" is not assignable (reportReturnType)
  /work/bad.py:5:1 - warning: Import "x" is unused (reportUnusedImport)
1 error, 1 warning, 0 informations
"""
ESLINT = """\

/work/src/a.js
  1:7  warning  'a' is assigned a value but never used  no-unused-vars
  2:1  error    'foo' is not defined                    no-undef

✖ 2 problems (1 error, 1 warning)

"""
CLIPPY = """\
    Checking x v0.1.0 (/work)
warning: writing `&Vec` instead of `&[_]` involves a new object where a slice will do
 --> src/lib.rs:2:15
  |
  = help: for further information visit https://rust-lang.github.io/rust-clippy/rust-1.95.0/index.html#ptr_arg
  = note: `#[warn(clippy::ptr_arg)]` on by default

error[E0308]: mismatched types
  --> src/main.rs:3:5
   |

error[E0308]: mismatched types
  --> src/main.rs:3:5
   |

error: could not compile `x` (lib) due to 1 previous error; 1 warning emitted
"""
TSC_PRETTY = "src/b.ts:1:14 - error TS2322: Type 'string' is not assignable.\n\nFound 1 error in src/b.ts:1\n"
GOLANGCI = """\
cmd/a.go:5:2: Error return value of `f` is not checked (errcheck)
\tf()
\t^
1 issues:
* errcheck: 1
"""
COMPILEALL = """\
*** Error compiling './pkg/app.py'...
  File "./pkg/app.py", line 1
    def f(:
          ^
SyntaxError: invalid syntax

"""
PRINTED = {
    "ruff": ("app.py:1:8: F401 [*] `os` imported but unused\nFound 1 error.\n",
             (1, 0), "app.py:1: `os` imported but unused [F401]"),
    "ruff, in full": (RUFF_FULL, (1, 0), "app.py:1: `os` imported but unused [F401]"),
    "ruff format": (RUFF_FORMAT, (1, 0), "app.py:2: not formatted"),
    "flake8": ("./bad.py:2:1: E302 expected 2 blank lines, found 0\n", (1, 0),
               "bad.py:2: expected 2 blank lines, found 0 [E302]"),
    "pylint": ("bad.py:1:0: W0611: Unused import os (unused-import)\n", (1, 0),
               "bad.py:1: Unused import os (unused-import) [W0611]"),
    "mypy": (MYPY, (2, 0), "app.py:2: Function is missing a type annotation [no-untyped-def]"),
    "pyright": (PYRIGHT, (1, 1), 'bad.py:3: Type "int" is not assignable [reportReturnType]'),
    "eslint": (ESLINT, (1, 1), "src/a.js:2: 'foo' is not defined [no-undef]"),
    "tsc": ("src/b.ts(1,14): error TS2322: Type 'string' is not assignable.\n", (1, 0),
            "src/b.ts:1: Type 'string' is not assignable. [TS2322]"),
    "tsc, pretty": (TSC_PRETTY, (1, 0), "src/b.ts:1: Type 'string' is not assignable. [TS2322]"),
    "clippy": (CLIPPY, (1, 1), "src/main.rs:3: mismatched types [E0308]"),
    "cargo fmt": ("Diff in /work/src/lib.rs:1:\n-a\n+b\n", (1, 0), "src/lib.rs:1: not formatted"),
    "go vet": ("# example.com/a\nvet: ./a.go:5:2: undefined: x\n", (1, 0), "a.go:5: undefined: x"),
    "golangci-lint": (GOLANGCI, (1, 0),
                      "cmd/a.go:5: Error return value of `f` is not checked [errcheck]"),
    "gofmt": ("./a.go: not formatted as gofmt does it\n", (1, 0), "a.go: not formatted"),
    "black": ("would reformat app.py\n\nOh no!\n1 file would be reformatted.\n", (1, 0),
              "app.py: not formatted"),
    "prettier": ("[warn] src/b.ts\n[warn] Code style issues found in the above file.\n", (1, 0),
                 "src/b.ts: not formatted"),
    "compileall": (COMPILEALL, (1, 0), "pkg/app.py:1: invalid syntax [SyntaxError]"),
    "two at once": (MYPY + ESLINT, (3, 1),
                    "app.py:2: Function is missing a type annotation [no-untyped-def]"),
}  # fmt: skip


def read(output: str, exit_code: int, kind: str = "lint") -> CheckResult:
    return read_result(Check(kind, "it", "it"), CommandResult("it", exit_code, output, 10))


@pytest.mark.parametrize("name", PRINTED)
def test_what_a_linter_prints_is_counted_and_placed(name: str) -> None:
    output, counted, first = PRINTED[name]
    result = read(output, 1)
    assert ((result.error_count, result.warning_count), result.first_error) == (counted, first)
    assert (result.passed, result.passed_count) == (False, None)
    place = first.split(": ")[0]
    assert result.failures
    assert result.failures[0].startswith(place)


def test_warnings_alone_are_told_and_pass() -> None:
    result = read(CLIPPY.split("error[E0308]", maxsplit=1)[0] + "    Finished `dev` profile in 0.1s\n", 0)
    assert result.passed
    assert result.summary() == "it: passed (1 warning) in 0.0 s"


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (MYPY, "2 errors although the command ended with 0. app.py:2"),
        ("sh: 1: ruff: not found\nskipped\n", "ruff is not available where checks run."),
        ("warning: No Python files found under the given path(s)\nAll checks passed!\n",
         "No file was checked."),
    ],
)  # fmt: skip
def test_a_linter_that_only_says_it_is_well_has_not_passed(output: str, why: str) -> None:
    result = read(output, 0)
    assert not result.passed
    assert result.first_error.startswith(why)


@pytest.mark.parametrize(
    ("output", "tool"),
    [
        ("/opt/python/bin/python: No module named ruff\n", "ruff"),
        ("error: no such command: `clippy`\n\nhelp: view all\n", "cargo clippy"),
        ("error: 'cargo-fmt' is not installed for the toolchain 'stable'.\n", "cargo-fmt"),
        ("bash: line 1: golangci-lint: command not found\n", "golangci-lint"),
        ("make: eslint: No such file or directory\nmake: *** [Makefile:2: lint] Error 127\n", "eslint"),
    ],
)
def test_a_tool_that_is_not_there_is_named_with_what_to_do(output: str, tool: str) -> None:
    said = read(output, 127).first_error
    assert said.startswith(f"{tool} is not available where checks run.")
    assert "allow_install" in said


def test_tests_that_do_not_compile_say_where() -> None:
    result = read(CLIPPY, 101, "test")
    assert result.first_error == "src/main.rs:3: mismatched types [E0308]"
