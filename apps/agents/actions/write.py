"""Actions that change files: whole, by an edit, by a patch, moved, deleted."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, ClassVar

from apps.agents.actions.base import Action, ActionContext, Result
from apps.agents.actions.patching import PatchPlan
from apps.agents.actions.read import PATHS, existing_file
from apps.agents.actions.seen import forget_shown, note_moved, note_shown, unseen_lines
from apps.agents.actions.syntax import syntax_finding
from apps.agents.editing.match import Edit, EditRefused, edit_text
from apps.agents.editing.patch import parse_patch
from apps.agents.editing.text import MAX_BYTES, TextFile, bodies, decode
from apps.agents.paths import relative, resolve_inside
from apps.core.errors import BadInput, Conflict, NotFound, TooLarge

FEW_LINES = 5
_PLACEHOLDER = re.compile(
    r"^\s*(?:#|//|/\*|<!--|--|;|\*)?\s*(?:\.\.\.|…)\s*\(?(?:the )?"
    r"(?:rest|existing|remaining|remainder|other|unchanged|previous|same|keep)\b.{0,60}$",
    re.IGNORECASE | re.MULTILINE,
)
MOVES = {
    "source_path": "source",
    "target_path": "target",
    "destination": "target",
    "old_path": "source",
    "new_path": "target",
    "from": "source",
    "to": "target",
    "src": "source",
    "dst": "target",
    "dest": "target",
}


def with_finding(said: str, name: str, text: str) -> tuple[str, dict[str, Any]]:
    """What to say of a saved file, and whether it parses."""
    finding = syntax_finding(name, text)
    if not finding:
        return said, {"path": name}
    return f"{said}\nBut {name} does not parse now: {finding}", {"path": name, "finding": finding}


class WriteFile(Action):
    name: ClassVar[str] = "write_file"
    purpose: ClassVar[str] = "Create a file, or replace a whole one that you have read."
    group: ClassVar[str] = "write"
    aliases: ClassVar[tuple[str, ...]] = ("write", "create_file", "save_file")
    renamed: ClassVar[dict[str, str]] = {
        **PATHS,
        "text": "content",
        "contents": "content",
        "file_text": "content",
    }

    path: str
    content: str

    def act(self, ctx: ActionContext) -> Result:
        file = resolve_inside(ctx.root, self.path)
        name = relative(ctx.root, file)
        content = self.content
        if len(content) > MAX_BYTES:
            raise TooLarge(f"{name} would have {len(content):,} characters.", hint="Write smaller files.")
        if file.is_dir():
            raise BadInput(f"{name} is a directory.", hint="Name a file in it.")
        if any(parent.is_file() for parent in file.parents):
            raise BadInput(f"{name} cannot be made below a file.")
        if file.exists():
            before = decode(existing_file(ctx, self.path).read_bytes(), name=name)
            self._guard(ctx, name, before.text)
            if before.newline == "\r\n" and "\r\n" not in content:
                content = content.replace("\n", "\r\n")
            data = before.with_text(content).encode()
            said = f"Replaced {name} ({len(bodies(content))} lines)."
        else:
            data, said = TextFile(content).encode(), f"Created {name} ({len(bodies(content))} lines)."
        ctx.write(file, data)
        note_shown(ctx.seen, {"path": name})
        text, kept = with_finding(said, name, content)
        return Result(ok=True, text=text, data=kept, changed=True)

    def _guard(self, ctx: ActionContext, name: str, before: str) -> None:
        """A file that nobody looked at is not replaced, nor one whose rest is only hinted at."""
        lines = bodies(before)
        unread = unseen_lines(ctx.seen, name, len(lines))
        kept = {line.strip() for line in bodies(self.content)}
        lost = [number for number in unread if lines[number - 1].strip() not in kept | {""}]
        if len(lost) > FEW_LINES or (len(lost) > 1 and len(unread) == len(lines) > FEW_LINES):
            raise Conflict(
                f"{name} exists with {len(unread)} lines that you have not read, from line {unread[0]} on; "
                "it was not replaced.",
                hint="Read it first, or change only what must change with edit_file.",
            )
        hint = _PLACEHOLDER.search(self.content)
        if hint and hint[0] not in before:
            raise Conflict(
                f"The content only hints at the rest of {name} with {hint[0].strip()!r}.",
                hint="Give the whole content, or use edit_file for the part that changes.",
            )


class EditFile(Action):
    name: ClassVar[str] = "edit_file"
    purpose: ClassVar[str] = "Replace the only place of old_text in a file by new_text; whole lines are best."
    group: ClassVar[str] = "write"
    aliases: ClassVar[tuple[str, ...]] = ("edit", "edit_code", "str_replace", "replace_in_file", "replace")
    renamed: ClassVar[dict[str, str]] = {
        **PATHS,
        "old": "old_text",
        "old_str": "old_text",
        "old_string": "old_text",
        "search": "old_text",
        "find": "old_text",
        "new": "new_text",
        "new_str": "new_text",
        "new_string": "new_text",
        "replace": "new_text",
        "replacement": "new_text",
    }
    example: ClassVar[str] = (
        '{"type": "edit_file", "path": "a.py", "old_text": "x = 1\\n", "new_text": "x = 2\\n"}'
    )

    path: str
    old_text: str
    new_text: str

    @classmethod
    def chosen(cls, arguments: dict[str, Any]) -> type[Action]:
        has_texts = any(cls._ours(key) == "old_text" for key in arguments)
        return ApplyPatch if "patch" in arguments and not has_texts else cls

    def act(self, ctx: ActionContext) -> Result:
        if not self.old_text and not resolve_inside(ctx.root, self.path).exists():
            return WriteFile(path=self.path, content=self.new_text).act(ctx)
        file = existing_file(ctx, self.path)
        name = relative(ctx.root, file)
        before = decode(file.read_bytes(), name=name)
        edit = edit_text(before.text, self.old_text, self.new_text)
        text, kept = with_finding(self._said(name, edit), name, edit.text)
        if edit.splits_line and "finding" in kept and not syntax_finding(name, before.text):
            raise EditRefused(
                f"old_text ends within a line, and with its rest {name} would not parse: {kept['finding']}.",
                hint="Give whole lines.",
            )
        ctx.write(file, before.with_text(edit.text).encode())
        return Result(ok=True, text=text, data={**kept, "line": edit.first, "how": edit.how}, changed=True)

    @staticmethod
    def _said(name: str, edit: Edit) -> str:
        where = f"line {edit.first}" if edit.last <= edit.first else f"lines {edit.first}-{edit.last}"
        return f"Edited {name}, {where}" + (f" ({edit.how})." if edit.how else ".")


class ApplyPatch(Action):
    name: ClassVar[str] = "apply_patch"
    purpose: ClassVar[str] = "Apply a unified diff to one or more files: all of it, or nothing."
    group: ClassVar[str] = "write"
    aliases: ClassVar[tuple[str, ...]] = ("patch",)
    renamed: ClassVar[dict[str, str]] = {"diff": "patch", "input": "patch", "patch_text": "patch"}
    ignored: ClassVar[frozenset[str]] = frozenset({"path", "file"})

    patch: str

    def act(self, ctx: ActionContext) -> Result:
        if len(self.patch) > MAX_BYTES:
            raise TooLarge("The patch is too large.", hint="Send it in parts.")
        plan = PatchPlan(ctx)
        for patch in parse_patch(self.patch):
            plan.add(patch)
        plan.carry_out()
        findings = [f"{name} does not parse now: {finding}" for name, finding in plan.findings()]
        said = "\n".join(["Patched:", *plan.told, *(["But:", *findings] if findings else [])])
        return Result(ok=True, text=said, data={"paths": plan.names(), "findings": findings}, changed=True)


class MoveFile(Action):
    name: ClassVar[str] = "move_file"
    purpose: ClassVar[str] = "Move or rename a file or directory."
    group: ClassVar[str] = "write"
    aliases: ClassVar[tuple[str, ...]] = ("rename_file", "move", "rename")
    renamed: ClassVar[dict[str, str]] = MOVES

    source: str
    target: str

    @classmethod
    def adapted(cls, arguments: dict[str, Any], *, called: str) -> dict[str, Any]:
        adapted = super().adapted(arguments, called=called)
        if "new_name" in adapted and "target" not in adapted:
            source = Path(str(adapted.get("source", "")))
            adapted["target"] = (source.parent / str(adapted.pop("new_name"))).as_posix()
        return adapted

    def act(self, ctx: ActionContext) -> Result:
        source = resolve_inside(ctx.root, self.source, follow=False)
        target = resolve_inside(ctx.root, self.target, follow=False)
        if source == ctx.root.resolve():
            raise BadInput("The repository itself cannot be moved.")
        if not (source.exists() or source.is_symlink()):
            existing_file(ctx, self.source)
        if target.is_dir() and not source.is_dir():
            target /= source.name
        if target.exists() or target.is_symlink():
            raise Conflict(
                f"{relative(ctx.root, target)} exists.", hint="Delete it first, or choose another name."
            )
        if source in target.parents:
            raise BadInput("A directory cannot be moved into itself.")
        _make_parents(target.parent)
        source.rename(target)
        names = relative(ctx.root, source), relative(ctx.root, target)
        note_moved(ctx.seen, *names)
        return Result(
            ok=True,
            text=f"Moved {names[0]} to {names[1]}.",
            data={"source": names[0], "target": names[1]},
            changed=True,
        )


def _make_parents(folder: Path) -> None:
    """Directories owned like the worktree they are in, so that the sandbox's user can write there."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    owner = folder.stat()
    for new in reversed(missing):
        new.mkdir()
        if os.geteuid() == 0:
            os.chown(new, owner.st_uid, owner.st_gid)


class DeleteFile(Action):
    name: ClassVar[str] = "delete_file"
    purpose: ClassVar[str] = "Delete a file."
    group: ClassVar[str] = "write"
    aliases: ClassVar[tuple[str, ...]] = ("delete", "remove_file", "rm")
    renamed: ClassVar[dict[str, str]] = PATHS

    path: str

    def act(self, ctx: ActionContext) -> Result:
        file = resolve_inside(ctx.root, self.path, follow=False)
        name = relative(ctx.root, file)
        if file.is_dir() and not file.is_symlink():
            raise BadInput(f"{name} is a directory.", hint="Delete its files, or use run_command.")
        if not (file.exists() or file.is_symlink()):
            raise NotFound(f"There is no file {name}.")
        file.unlink()
        forget_shown(ctx.seen, name)
        return Result(ok=True, text=f"Deleted {name}.", data={"path": name}, changed=True)
