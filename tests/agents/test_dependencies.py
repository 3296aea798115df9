"""Dependencies of projects: installed once, in a step of their own; seen read-only."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.agents import dependencies
from apps.agents.dependencies import dependencies_provide
from apps.agents.needs import needs_of
from apps.agents.sandbox import Sandbox, sandbox_status
from apps.projects.models import Project

needs_sandbox = pytest.mark.skipif(not sandbox_status().available, reason="no sandbox here")


@pytest.fixture
def project(settings: Settings, tmp_path: Path) -> Project:
    settings.LOOM_DATA_DIR = tmp_path / "data"
    return Project(pk=7, name="Shop")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "tree"
    (place / "wheels").mkdir(parents=True)
    return place


def wheel(folder: Path, version: str = "1.0", name: str = "greeting") -> None:
    """A package with a module and a program."""
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = '{version}'\ndef main():\n    print('hello', VERSION)\n")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/entry_points.txt", f"[console_scripts]\n{name} = {name}:main\n")
        archive.writestr(f"{about}/RECORD", "")


def run(project: Project, root: Path, command: str) -> str:
    provided = dependencies_provide(project, root)
    return Sandbox(extra=provided.extra).run(command, root=root).output + provided.note


IMPORTS = "python -c 'import greeting; print(greeting.VERSION)'; greeting"


@needs_sandbox
def test_a_package_of_the_repository_is_installed_without_the_network_and_kept(
    project: Project, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(root / "wheels")
    (root / "requirements.txt").write_text("# ours\n--no-index\n--find-links wheels\ngreeting==1.0\n")
    (root / ".env").write_text("SECRET=1\n")
    assert run(project, root, IMPORTS) == "1.0\nhello 1.0\n"
    installed: list[str] = []
    monkeypatch.setattr(dependencies, "_install", lambda need, *_: installed.append(need.language))
    assert run(project, root, IMPORTS) == "1.0\nhello 1.0\n", "the second time it is there already"
    monkeypatch.undo()
    assert installed == []
    wheel(root / "wheels", "2.0")
    (root / "requirements.txt").write_text("--no-index\n--find-links wheels\ngreeting\n")
    assert run(project, root, IMPORTS) == "2.0\nhello 2.0\n", "another lock file is another state"
    assert not list(root.rglob("__pycache__"))


@needs_sandbox
def test_commands_see_it_read_only_and_other_projects_do_not(project: Project, root: Path) -> None:
    wheel(root / "wheels")
    (root / "requirements.txt").write_text("./wheels/greeting-1.0-py3-none-any.whl\n")
    spoil = "python -c 'import greeting; open(greeting.__file__, \"w\")'; rm -rf /opt/dependencies/python/*"
    said = run(project, root, spoil)
    assert "Read-only" in said
    assert run(project, root, IMPORTS) == "1.0\nhello 1.0\n"
    assert "No module named" in Sandbox().run(IMPORTS, root=root).output
    other = dependencies_provide(Project(pk=8), root.parent)
    assert (other.note, other.extra.shown) == ("", ())


@needs_sandbox
def test_without_leave_to_download_the_reason_is_told_and_nothing_is_tried_again(
    project: Project, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "requirements.txt").write_text("surely-not-there-4711==1\n")
    note = dependencies_provide(project, root).note
    assert note.startswith("The dependencies in requirements.txt are not installed: downloading is off")
    assert "allow_install" in note
    tried: list[bool] = []

    def install(need: object, place: Path, root: Path, network: bool, sandbox: Sandbox) -> dict[str, object]:
        tried.append(network)
        return {"ok": False, "note": "tried"}

    monkeypatch.setattr(dependencies, "_install", install)
    assert dependencies_provide(project, root).note == note
    assert tried == []
    project.allow_install = True
    assert dependencies_provide(project, root).note == "tried"
    assert tried == [True], "with leave to download it is tried at once"


@needs_sandbox
def test_the_step_sees_only_what_names_dependencies(project: Project, root: Path) -> None:
    package = root / "libs" / "spy"
    package.mkdir(parents=True)
    (root / ".env").write_text("TOKEN=canary-4719\n")
    (package / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    )
    (package / "backend.py").write_text(
        "import glob, os\n"
        "found = [open(f).read() for f in glob.glob('/work/**/.*', recursive=True)]\n"
        "raise SystemExit(f'saw {found} {dict(os.environ)}')\n"
    )
    (root / "requirements.txt").write_text("./libs/spy\n")
    note = dependencies_provide(project, root).note
    assert "canary" not in note
    stage = dependencies._folder(project.pk)
    assert not [file for file in stage.rglob("*") if file.name == ".env"]


@pytest.mark.parametrize(
    ("files", "languages"),
    [
        ({}, []),
        ({"requirements.txt": "# nothing\n\n"}, []),
        ({"requirements-dev.txt": "pytest\n"}, ["python"]),
        ({"pyproject.toml": "[project]\nname = 'x'\ndependencies = []\n"}, []),
        (
            {"pyproject.toml": "[project]\ndependencies = ['attrs']\n[dependency-groups]\ndev = ['x']\n"},
            ["python"],
        ),
        ({"pyproject.toml": "not toml ["}, []),
        ({"package.json": '{"scripts": {}}'}, []),
        ({"package.json": "{"}, []),
        ({"package.json": '{"devDependencies": {"a": "1"}}', "requirements.txt": "x"}, ["python", "node"]),
        ({"requirements.txt": "../outside/x.whl\n/etc/passwd\n"}, ["python"]),
    ],
)
def test_what_a_project_needs_is_read_from_its_files(
    root: Path, files: dict[str, str], languages: list[str]
) -> None:
    for name, text in files.items():
        (root / name).write_text(text)
    needs = needs_of(root)
    assert [need.language for need in needs] == languages
    assert all(file.is_relative_to(root) for need in needs for file in need.files)


@needs_sandbox
def test_node_packages_of_the_repository_are_found_from_every_directory(project: Project, root: Path) -> None:
    if not (Path("/usr/bin/npm").exists() or Path("/usr/local/bin/npm").exists()):
        pytest.skip("no npm here")
    (root / "pkg").mkdir()
    (root / "pkg" / "package.json").write_text('{"name": "greet", "version": "1.0.0", "main": "index.js"}')
    (root / "pkg" / "index.js").write_text("module.exports = 'hello';\n")
    with tarfile.open(root / "greet.tgz", "w:gz") as archive:
        archive.add(root / "pkg", "package")
    (root / "package.json").write_text(json.dumps({"dependencies": {"greet": "file:greet.tgz"}}))
    (root / "sub").mkdir()
    assert run(project, root, "cd sub && node -e \"console.log(require('greet'))\"") == "hello\n"
    assert not (root / "node_modules").exists()


@pytest.mark.usefixtures("project")
def test_without_a_sandbox_the_real_directories_are_named(
    project: Project, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOM_SANDBOX", "off")
    extra = replace(
        dependencies_provide(project, root).extra, shown=((root, "/opt/dependencies/python"),),
        variables=(("PYTHONPATH", "/opt/dependencies/python"),), programs=("/opt/dependencies/python/bin",),
    )  # fmt: skip
    said = Sandbox(extra=extra).run("echo $PYTHONPATH $PATH", root=root).output
    assert said.startswith(f"{root} ")
    assert said.rstrip().endswith(f"{root}/bin")


@needs_sandbox
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not here")
def test_packages_of_a_workspace_find_each_other(project: Project, root: Path) -> None:
    told = {"workspaces": ["packages/*"], "dependencies": {"greeting": "1.0.0"}}
    odd = {**told, "workspaces": ["packages/*", "!packages/old", "../*", 7, "a**", "**/**"]}
    (root / "package.json").write_text(json.dumps(odd))
    for name in ("greeting", "old"):
        (root / "packages" / name).mkdir(parents=True)
        (root / "packages" / name / "package.json").write_text(json.dumps({"name": name, "version": "1.0.0"}))
    (root / "packages/greeting/index.js").write_text("module.exports = 'hello'")
    (root.parent / "package.json").write_text("{}")
    (root / "packages/linked").symlink_to(root / "packages/old")
    (need,) = needs_of(root)
    assert need.names(root) == "package.json, packages/greeting/package.json"
    (root / "package.json").write_text(json.dumps(told))
    assert run(project, root, "node -p 'require(\"greeting\")'").strip() == "hello"
