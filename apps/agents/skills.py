"""Agent Skills: `SKILL.md` read leniently, with a warning for whatever is bent, and written strictly.

The form is https://agentskills.io/specification: YAML front matter, then Markdown. All scalars are strings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from apps.core.errors import BadInput
from apps.core.storable import storable_text

FIELDS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
MAX_BYTES = 64 * 1024
MAX_HEAD = 16 * 1024
MAX_BRACKETS = 200  # that may nest
MAX_BODY_LINES = 500
MAX_DESCRIPTION = 1024
MAX_COMPATIBILITY = 500
MAX_NAME = 64
MAX_METADATA = 100  # entries
WORDS = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PLAIN = re.compile(r"^(\s*[\w.-]+:) (?!['\"|>\[{&*!])(.*:( .*)?)$")
_SAFE = re.compile(r"[A-Za-z][\w ./;,()+-]*")
_SPECIAL = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


class SkillError(BadInput):
    """A file that cannot be read as a skill; `details.line` is where."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"Line {line}: {message}.", details={"line": line})
        self.text, self.line = message, line


@dataclass(frozen=True)
class Skill:
    """A skill as the strict form has it; `warnings` tell what was mended on the way."""

    name: str
    description: str
    body: str
    license: str = ""
    compatibility: str = ""
    allowed_tools: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def text_of(raw: bytes | str) -> str:
    """The text of a file: UTF-8 with or without a byte order mark, any line ends."""
    if len(raw) > MAX_BYTES:
        raise SkillError(f"the file is larger than {MAX_BYTES // 1024} KB", 1)
    text = _decoded(raw) if isinstance(raw, bytes) else raw
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SkillError(f"it is not UTF-8 (byte {error.start})", line) from None


def split(text: str) -> tuple[str, str]:
    """Front matter and body."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        raise SkillError("it must start with a line of three hyphens, then YAML, then three hyphens", 1)
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    if end is None:
        raise SkillError("its front matter does not end with a line of three hyphens", len(lines))
    return "\n".join(lines[1:end]), "\n".join(lines[end + 1 :]).strip()


def mapping_of(head: str) -> dict[str, tuple[Any, int]]:
    """The fields of the front matter, each with the line it stands on; scalars are strings."""
    _check_head(head)
    try:
        # BaseLoader makes strings of all scalars, as the specification has it, and builds no objects.
        for event in yaml.parse(head, Loader=yaml.BaseLoader):
            if isinstance(event, yaml.AliasEvent):
                raise SkillError("references (&, *) are not taken here", _line(event))
        node = yaml.compose(head, Loader=yaml.BaseLoader)
        return dict(_entries(node)) if node is not None else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = mark.line + 2 if mark else 2
        said = getattr(error, "problem", "") or "unreadable"
        raise SkillError(
            f"its front matter is not YAML ({said}); quote a value that holds a colon", line
        ) from None
    except RecursionError:
        raise SkillError("its front matter is nested too deeply", 2) from None


def _check_head(head: str) -> None:
    """What is within these bounds is parsed in no time: deep nesting takes the square of its depth."""
    if len(head) > MAX_HEAD:
        raise SkillError(f"its front matter is larger than {MAX_HEAD // 1024} KB", 2)
    if head.count("[") + head.count("{") > MAX_BRACKETS:
        raise SkillError("its front matter is nested too deeply", 2)


def _line(node: Any) -> int:
    """The front matter begins on the second line of the file."""
    return int(node.start_mark.line) + 2


def _entries(node: yaml.Node) -> Iterator[tuple[str, tuple[Any, int]]]:
    if not isinstance(node, yaml.MappingNode):
        raise SkillError("its front matter must be fields with values", _line(node))
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise SkillError("the name of a field must be a word", _line(key))
        name = storable_text(key.value)
        if name in seen:
            raise SkillError(f"the field {name!r} stands there twice", _line(key))
        seen.add(name)
        yield name, (_value(value), _line(key))


def _value(node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return storable_text(node.value)  # escapes can say what no database keeps
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    return {key: value for key, (value, _) in _entries(node)}


# -- reading leniently -----------------------------------------------------------------------------


def skill_read(raw: bytes | str, *, name: str = "") -> Skill:
    """A skill from a file that may be bent; SkillError tells the line of what cannot be mended.

    `name` is what it is called where the file does not say.
    """
    head, body = split(text_of(raw))
    warnings: list[str] = []
    fields = _mapping_leniently(head, warnings)
    given = {key: (value, line) for key, (value, line) in fields.items() if value not in ("", [], {}, None)}
    metadata = metadata_mend(given.pop("metadata", ({}, 0))[0])
    for key in [key for key in given if key not in FIELDS]:
        value, line = given.pop(key)
        warnings.append(f"line {line}: the field {key} belongs under metadata")
        metadata = {**metadata_mend({key: value}), **metadata}
    texts = {key: _plain(value) for key, (value, _) in given.items()}
    lines = {key: line for key, (_, line) in fields.items()}
    return skill_mend(texts, metadata, body, name=name, lines=lines, warnings=warnings)


def _mapping_leniently(head: str, warnings: list[str]) -> dict[str, tuple[Any, int]]:
    try:
        return mapping_of(head)
    except SkillError as error:
        quoted = "\n".join(_quoted(line) for line in head.split("\n"))
        if quoted == head:
            raise
        try:
            fields = mapping_of(quoted)
        except SkillError:
            raise error from None
        warnings.append(f"line {error.line}: values with a colon must be quoted")
        return fields


def _quoted(line: str) -> str:
    found = _PLAIN.match(line)
    return f"{found[1]} {_double(found[2].strip())}" if found else line


def skill_mend(
    texts: Mapping[str, str],
    metadata: dict[str, str],
    body: str,
    *,
    name: str = "",
    lines: Mapping[str, int] | None = None,
    warnings: list[str] | None = None,
) -> Skill:
    """The strict form of what was given, with a warning for what had to change."""
    lines, warnings = lines or {}, warnings if warnings is not None else []

    def warn(key: str, text: str) -> None:
        warnings.append(f"line {lines[key]}: {text}" if key in lines else text)

    _check_body(body, line=max(lines.values(), default=1) + 1)
    said = name_mend(texts.get("name", ""))
    if said != texts.get("name", ""):
        warn("name", f"the name {texts.get('name', '')!r} is none of a skill")
    if not (said or name_mend(name)):
        raise SkillError("it has no name", lines.get("name", 2))
    description = " ".join(texts.get("description", "").split())
    if not description:
        warn("description", "the description is missing; the first paragraph stands in for it")
        description = _first_paragraph(body)
    if not description:
        raise SkillError("it has no description", lines.get("description", 2))
    if len(description) > MAX_DESCRIPTION:
        warn("description", f"the description is longer than {MAX_DESCRIPTION} characters and was cut")
        description = description[: MAX_DESCRIPTION - 1].rstrip() + "…"
    if len(texts.get("compatibility", "")) > MAX_COMPATIBILITY:
        warn("compatibility", f"compatibility is longer than {MAX_COMPATIBILITY} characters and was cut")
    if len(metadata) > MAX_METADATA:
        raise SkillError(f"it has more than {MAX_METADATA} entries of metadata", lines.get("metadata", 2))
    return Skill(
        name=said or name_mend(name),
        description=description,
        body=body.strip(),
        license=texts.get("license", "").strip(),
        compatibility=texts.get("compatibility", "").strip()[:MAX_COMPATIBILITY],
        allowed_tools=" ".join(texts.get("allowed-tools", "").replace(";", " ").split()),
        metadata=metadata,
        warnings=tuple(warnings),
    )


def _check_body(body: str, *, line: int) -> None:
    if not body.strip():
        raise SkillError("nothing stands below its front matter", line)
    if body.count("\n") >= MAX_BODY_LINES:
        raise SkillError(f"its body is longer than {MAX_BODY_LINES} lines", line + MAX_BODY_LINES)


def name_mend(name: str) -> str:
    """The nearest valid name, from the last part of a path; empty if there is none."""
    last = unicodedata.normalize("NFKD", name).casefold().strip().rstrip("/").rpartition("/")[2]
    return "-".join(re.findall(r"[a-z0-9]+", last))[:MAX_NAME].strip("-")


def metadata_mend(given: Any) -> dict[str, str]:
    """Texts only: lists become "a; b", maps within maps "outer.inner"."""
    if isinstance(given, list):
        given = {str(number): item for number, item in enumerate(given, 1)}
    if not isinstance(given, Mapping):
        return {"note": str(given)} if given not in ("", None) else {}
    mended: dict[str, str] = {}
    for key, value in given.items():
        if isinstance(value, Mapping):
            mended |= {f"{key}.{inner}": text for inner, text in metadata_mend(value).items()}
        else:
            mended[str(key)] = _plain(value)
    return mended


def _plain(value: Any) -> str:
    """One text, whatever YAML or JSON made of it."""
    if isinstance(value, list):
        return "; ".join(_plain(item) for item in value)
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value).strip()


def _first_paragraph(body: str) -> str:
    paragraphs = (part.strip() for part in body.split("\n\n"))
    first = next((part for part in paragraphs if part and not part.startswith(("#", "```", "<"))), "")
    return " ".join(first.split())[:MAX_DESCRIPTION]


# -- writing strictly ------------------------------------------------------------------------------


def skill_write(skill: Skill) -> str:
    """The file of a skill, as every reader of the specification takes it."""
    lines = ["---", f"name: {skill.name}", f"description: {_scalar(skill.description)}"]
    for key, value in (("license", skill.license), ("compatibility", skill.compatibility)):
        if value:
            lines.append(f"{key}: {_scalar(value)}")
    if skill.metadata:
        lines.append("metadata:")
        lines += [f"  {_scalar(key)}: {_scalar(value)}" for key, value in sorted(skill.metadata.items())]
    if skill.allowed_tools:
        lines.append(f"allowed-tools: {_scalar(skill.allowed_tools)}")
    return "\n".join([*lines, "---", skill.body.strip(), ""])


def _scalar(value: str) -> str:
    is_plain = _SAFE.fullmatch(value) and value.lower() not in _SPECIAL and value == value.strip()
    return value if is_plain else _double(value)


def _double(value: str) -> str:
    """Double-quoted YAML on one line."""
    text: str = yaml.dump(value, default_style='"', allow_unicode=True, width=float("inf"))
    return text.rstrip("\n").removesuffix("...").rstrip("\n")
