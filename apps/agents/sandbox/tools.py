"""What a command finds inside: the platform's Python, a few libraries for it, and the system's tools."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import sys
import sysconfig
from pathlib import Path

from apps.agents.sandbox.toolchains import toolchains

PYTHON = "/opt/python"  # where the interpreter lies inside, wherever it lies outside
# Mounted where the platform itself has them, so that checks do not depend on what else is installed there.
LIBRARIES = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")
SYSTEM_PATH = ("/usr/local/go/bin", "/usr/local/bin", "/usr/bin", "/bin")
TOOLS = (
    "node",
    "npm",
    "go",
    "cargo",
    "rustc",
    "make",
    "cmake",
    "gcc",
    "g++",
    "clang",
    "java",
    "ruby",
    "php",
    "perl",
)


@functools.cache
def sandbox_program(name: str) -> bool:
    """Whether a program of this name is inside, before anything is installed for a project."""
    places = (*SYSTEM_PATH, *(str(one.path / "bin") for one in toolchains()))
    return shutil.which(name, path=":".join(places)) is not None


@functools.cache
def sandbox_tools() -> tuple[str, ...]:
    """Names of what can be run inside, for people and prompts: "Python 3.11", "pytest", "node", ..."""
    found = [tool for tool in TOOLS if sandbox_program(tool)]
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    return (python, *(["pytest"] if "pytest" in sandbox_modules() else []), *found)


@functools.cache
def sandbox_modules() -> frozenset[str]:
    """The libraries that Python inside can import beside its own."""
    return frozenset(libraries()) if site_packages() else frozenset()


@functools.cache
def libraries() -> dict[str, Path]:
    """Where the platform's own copies lie; all of them or none, since each needs the others."""
    found: dict[str, Path] = {}
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            return {}
        origin = Path(spec.origin)
        found[name] = origin.parent if spec.submodule_search_locations else origin
    return found


def is_system_python() -> bool:
    """Whether the interpreter lies below /usr, which is visible inside as it is."""
    return Path(sys.base_prefix).resolve().is_relative_to("/usr")


def interpreter() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


@functools.cache
def site_packages() -> str:
    """Where the interpreter, seen from inside, looks for libraries; "" if there is nothing to cover."""
    outside = Path(sysconfig.get_path("purelib", vars={"base": sys.base_prefix}))
    if not outside.is_dir():
        return ""
    if is_system_python():
        return str(outside.resolve())
    return f"{PYTHON}/{outside.relative_to(sys.base_prefix)}"


def shared_library() -> Path | None:
    """The libpython that the interpreter is linked with, unless the system's loader finds it by itself."""
    if is_system_python() or not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return None
    name = sysconfig.get_config_var("INSTSONAME")
    library = Path(sys.base_prefix) / "lib" / str(name)
    return library if library.exists() else None
