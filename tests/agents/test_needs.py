"""What is to be installed, read from the files of every package manager."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.agents.languages.node_managers import PackageTool, manager_of
from apps.agents.needs import Need, needs_of

UV = """
version = 1
[[package]]
name = "app"
version = "0.1"
source = { editable = "." }
dependencies = [
  { name = "httpx", extra = ["http2"] },
  { name = "colorama", marker = "sys_platform == 'win32'" },
  { name = "tool" },
  { name = "old", version = "1.0", marker = "python_full_version < '3.0'" },
  { name = "old", version = "2.0", marker = "python_full_version >= '3.0'" },
]
[package.optional-dependencies]
docs = [{ name = "sphinx" }]
[package.dev-dependencies]
dev = [{ name = "ruff" }]
[[package]]
name = "httpx"
version = "0.28.1"
source = { registry = "https://pypi.org/simple" }
[package.optional-dependencies]
http2 = [{ name = "h2" }]
[[package]]
name = "h2"
version = "4.0"
source = { registry = "https://packages.example/simple" }
[[package]]
name = "colorama"
version = "1"
[[package]]
name = "sphinx"
version = "1"
[[package]]
name = "ruff"
version = "0.9"
[[package]]
name = "tool"
version = "3"
source = { git = "https://git.example/tool?rev=main#abc123" }
[[package]]
name = "old"
version = "1.0"
[[package]]
name = "old"
version = "2.0"
"""
POETRY_LOCK = """
[[package]]
name = "attrs"
version = "25.1"
optional = false
groups = ["main"]
[[package]]
name = "sphinx"
version = "8"
optional = false
groups = ["docs"]
[[package]]
name = "pywin32"
version = "3"
optional = false
groups = ["main"]
markers = "sys_platform == 'win32'"
[[package]]
name = "extra"
version = "1"
optional = true
"""
POETRY = """
[tool.poetry.dependencies]
python = "^3.11"
attrs = "^23.1"
click = "~8.1"
zero = "^0.2.3"
plain = "1.2"
any = "*"
web = { version = "^1.0", extras = ["http2"] }
own = { path = "../own" }
[tool.poetry.group.dev.dependencies]
ruff = "*"
[tool.poetry.group.docs.dependencies]
sphinx = "*"
"""
GROUPS = """
[project]
dependencies = ["attrs"]
[dependency-groups]
dev = ["pytest", {include-group = "lint"}, {include-group = "dev"}]
lint = ["ruff"]
docs = ["sphinx"]
"""


def need_of(root: Path, files: dict[str, str]) -> Need:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (need,) = needs_of(root)
    return need


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        ({"uv.lock": UV, "requirements.txt": "unpinned\n"},
         ("--extra-index-url https://packages.example/simple h2==4.0 httpx==0.28.1 old==2.0 ruff==0.9"
         " tool @ git+https://git.example/tool@abc123")),
        ({"poetry.lock": POETRY_LOCK, "pyproject.toml": POETRY}, "attrs==25.1"),
        ({"pyproject.toml": POETRY},
         "attrs>=23.1,<24 click>=8.1,<8.2 zero>=0.2.3,<0.3 plain==1.2 any web[http2]>=1.0,<2 ruff"),
    ],
)  # fmt: skip
def test_python_takes_what_a_lock_file_pins_for_this_machine(
    tmp_path: Path, files: dict[str, str], lines: str
) -> None:
    need = need_of(tmp_path, files)
    assert need.written[0][1].split() == lines.split()
    assert ("--no-deps" in need.install) == any(name.endswith(".lock") for name in files)
    assert need.files


def test_groups_of_python_may_include_each_other(tmp_path: Path) -> None:
    written = need_of(tmp_path, {"pyproject.toml": GROUPS}).written[0][1].split()
    assert list(dict.fromkeys(written)) == ["attrs", "pytest", "ruff"]


def test_lists_in_a_folder_are_read_with_what_they_refer_to(tmp_path: Path) -> None:
    need = need_of(
        tmp_path, {"requirements/dev.txt": "-r base.txt\nruff\n", "requirements/base.txt": "attrs\n"}
    )
    assert {file.name for file in need.files} == {"dev.txt", "base.txt"}
    assert "-r requirements/dev.txt" in need.install


@pytest.mark.parametrize(
    ("package", "locks", "manager"),
    [
        ({}, {}, PackageTool("npm")),
        ({}, {"package-lock.json": "{}"}, PackageTool("npm", "package-lock.json")),
        ({}, {"pnpm-lock.yaml": "lockfileVersion: '6.0'"}, PackageTool("pnpm", "pnpm-lock.yaml", "pnpm@8")),
        ({"packageManager": "pnpm@9.1.0+sha512.ab"}, {}, PackageTool("pnpm", "", "pnpm@9.1.0")),
        ({}, {"yarn.lock": "# yarn lockfile v1"}, PackageTool("yarn", "yarn.lock", "yarn@1")),
        ({}, {"yarn.lock": "__metadata:"}, PackageTool("yarn", "yarn.lock", "@yarnpkg/cli-dist@4")),
        ({"packageManager": "yarn@4.5.0"}, {"package-lock.json": "{}"},
         PackageTool("yarn", "", "@yarnpkg/cli-dist@4.5.0")),
        ({"packageManager": "pnpm@9; rm -rf /"}, {}, PackageTool("npm")),
    ],
)  # fmt: skip
def test_the_manager_of_node_is_the_one_that_is_named_or_whose_lock_is_there(
    package: dict[str, str], locks: dict[str, str], manager: PackageTool
) -> None:
    assert manager_of(package, lambda name: locks.get(name, "")) == manager


def test_each_manager_of_node_installs_by_its_lock_file(tmp_path: Path) -> None:
    package = json.dumps({"dependencies": {"semver": "7"}})
    need = need_of(tmp_path, {"package.json": package, "pnpm-lock.yaml": "lockfileVersion: '9.0'\n"})
    assert "pnpm install --frozen-lockfile" in need.install
    assert "--prefix manager pnpm@10" in need.install
    assert [file.name for file in need.files] == ["package.json", "pnpm-lock.yaml"]
    (tmp_path / "pnpm-lock.yaml").rename(tmp_path / "yarn.lock")
    assert "yarn install --frozen-lockfile" in needs_of(tmp_path)[0].install


def test_vendored_code_needs_nothing(tmp_path: Path) -> None:
    files = {"go.mod": "module a\n\nrequire b v1.0.0\n", "go.sum": "b\n", "sub/go.mod": "module s\n"}
    need = need_of(tmp_path, files)
    assert [str(file.relative_to(tmp_path)) for file in need.files] == ["go.mod", "sub/go.mod", "go.sum"]
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "modules.txt").write_text("")
    assert needs_of(tmp_path) == []


def test_crates_are_fetched_by_manifests_and_the_names_of_sources(tmp_path: Path) -> None:
    own = {
        "Cargo.toml": "[workspace]\nmembers = ['a']\n",
        "a/Cargo.toml": "[dependencies]\nb = { path = '../b' }\n",
    }
    for name, text in {**own, "a/src/lib.rs": "// secret"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert needs_of(tmp_path) == [], "everything lies in the repository"
    need = need_of(tmp_path, {"a/Cargo.toml": "[target.'cfg(unix)'.dev-dependencies]\nlibc = '1'\n"})
    assert [str(stub.relative_to(tmp_path)) for stub in need.stubs] == ["a/src/lib.rs"]
    assert "--locked" not in need.install
    assert "--locked" in need_of(tmp_path, {"Cargo.lock": "version = 4\n"}).install
    (tmp_path / ".cargo").mkdir()
    (tmp_path / ".cargo" / "config.toml").write_text("[source.crates-io]\nreplace-with = 'vendored'\n")
    assert needs_of(tmp_path) == []
