"""A patch over several files, worked out in memory first and then written: all of it, or nothing."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path

from apps.agents.actions.base import Files
from apps.agents.actions.read import existing_file
from apps.agents.actions.syntax import syntax_finding
from apps.agents.editing.hunks import apply_hunks, new_text
from apps.agents.editing.patch import FilePatch, PatchRefused
from apps.agents.editing.text import decode
from apps.agents.paths import relative, resolve_inside


@dataclass
class PatchPlan:
    """What each file shall hold afterwards (None: gone); later parts of a patch see earlier ones."""

    ctx: Files
    wanted: dict[Path, bytes | None] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    modes: dict[Path, int] = field(default_factory=dict)

    def add(self, patch: FilePatch) -> None:
        if patch.old is None:
            self._create(patch)
            return
        source = self._source(patch.old)
        before = decode(self._bytes(source, patch.old), name=patch.old)
        patched = apply_hunks(before.text, patch.hunks, name=patch.old)
        notes = f" ({'; '.join(patched.notes)})" if patched.notes else ""
        if patch.new is None:
            if patch.hunks and patched.text.strip():
                raise PatchRefused(
                    f"The patch deletes {patch.old}, but not all of its lines.", hint="Use delete_file."
                )
            self._set(source, None, f"deleted {patch.old}")
            return
        target = source
        if patch.new != patch.old:
            target = self._target(patch.new)
            self.wanted[source] = None
            self.modes[target] = stat.S_IMODE(source.stat().st_mode) if source.exists() else 0o644
        verb = "changed" if target == source else f"moved {patch.old} to"
        self._set(target, before.with_text(patched.text).encode(), f"{verb} {self._name(target)}{notes}")

    def _create(self, patch: FilePatch) -> None:
        self._set(self._target(patch.path), new_text(patch.hunks).encode(), f"created {patch.path}")

    def _set(self, path: Path, data: bytes | None, told: str) -> None:
        self.wanted[path] = data
        self.told.append(told)

    def _name(self, path: Path) -> str:
        return relative(self.ctx.root, path)

    def _source(self, path: str) -> Path:
        """The file to patch; a path that keeps git's a/ or b/ is taken without it where only that exists."""
        real = resolve_inside(self.ctx.root, path)
        if not real.exists() and real not in self.wanted and path.startswith(("a/", "b/")):
            real = resolve_inside(self.ctx.root, path[2:])
        return real

    def _target(self, path: str) -> Path:
        target = resolve_inside(self.ctx.root, path)
        there = self.wanted.get(target, target.read_bytes() if target.is_file() else None)
        if target.is_dir() or there:
            raise PatchRefused(f"The patch creates {path}, which exists.", hint="Change it instead.")
        return target

    def _bytes(self, real: Path, path: str) -> bytes:
        if real in self.wanted:
            data = self.wanted[real]
            if data is None:
                raise PatchRefused(f"The patch changes {path} after it deleted it.")
            return data
        return existing_file(self.ctx, self._name(real)).read_bytes()

    def carry_out(self) -> None:
        """Write everything; if one write fails, put back what was there and raise its error."""
        done: list[tuple[Path, bytes | None]] = []
        try:
            for path, data in self.wanted.items():
                before = path.read_bytes() if path.is_file() else None
                done.append((path, before))
                self._write(path, data)
                if path in self.modes:
                    path.chmod(self.modes[path])
        except BaseException:
            for path, before in reversed(done):
                self._write(path, before)
            raise
        self.ctx.seen.update(self._name(path) for path, data in self.wanted.items() if data is not None)

    def _write(self, path: Path, data: bytes | None) -> None:
        if data is None:
            path.unlink(missing_ok=True)
        else:
            self.ctx.write(path, data)

    def names(self) -> list[str]:
        return [self._name(path) for path in self.wanted]

    def findings(self) -> list[tuple[str, str]]:
        """Files of the patch that do not parse now, and why."""
        found = []
        for path, data in self.wanted.items():
            finding = syntax_finding(path.name, decode(data, name=path.name).text) if data is not None else ""
            if finding:
                found.append((self._name(path), finding))
        return found
