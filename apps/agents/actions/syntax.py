"""A quick look whether a file still parses, so that a slip is seen at once and not three turns later."""

from __future__ import annotations

import ast
import json
import tomllib
import warnings
from collections.abc import Callable

import yaml

MAX_CHECKED = 400_000

_Yaml = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def syntax_finding(name: str, text: str) -> str:
    """What keeps the file `name` from parsing, or "" if it parses or nothing here can tell."""
    check = _CHECKS.get(name.rpartition(".")[2].lower()) if "." in name else None
    if check is None or len(text) > MAX_CHECKED:
        return ""
    try:
        check(text.removeprefix("\ufeff"))
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        return f"{where}{error.problem}"
    except (
        ValueError,
        yaml.YAMLError,
    ) as error:  # JSON's and TOML's errors are ValueErrors that tell the line
        return str(error)
    except (RecursionError, MemoryError):
        return "it is nested too deeply to be checked"
    return ""


def _python(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        ast.parse(text)


def _yaml(text: str) -> None:
    # Events only: tags of any kind pass, and aliases are not followed.
    for _ in yaml.parse(text, Loader=_Yaml):
        pass


_CHECKS: dict[str, Callable[[str], object]] = {
    "py": _python,
    "pyi": _python,
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": _yaml,
    "yml": _yaml,
}
