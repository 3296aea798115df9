"""`manage.py worktrees`: the worktrees of sessions on this machine; list, restore, clean."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.agents.worktrees import worktree_restore, worktree_row, worktrees, worktrees_clean
from apps.core.errors import LoomError
from apps.projects.models import Project


class Command(BaseCommand):
    help = (
        "The worktrees of sessions on this machine. What a session wrote is in git after every turn; a "
        "worktree is removed only when everything in it is in a ref (docs/merging.md)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument("--project", default="", help="slug or id of a project (for list)")
        verbs = parser.add_subparsers(dest="verb")
        verbs.add_parser("list", help="all of them: project, bead, session, state, size, refs, dirty")
        restore = verbs.add_parser("restore", help="write the files of a session to an empty directory")
        restore.add_argument("session", type=int)
        restore.add_argument("--to", type=Path, help="default: below LOOM_DATA_DIR/restored")
        clean = verbs.add_parser("clean", help="remove those of sessions that have ended")
        clean.add_argument("--keep-hours", type=float, help="ended less than so long ago: left alone")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb'] or 'list'}")(options)
        except LoomError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error

    def _list(self, options: dict[str, Any]) -> None:
        rows = [worktree_row(one) for one in worktrees(self._project(options["project"]))]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        if not rows:
            self.stdout.write("No worktrees are on this machine.")
            return
        form = "{:>8}  {:<20} {:<14} {:<8} {:>9}  {:>5}  {}"
        self.stdout.write(form.format("SESSION", "PROJECT", "BEAD", "STATE", "SIZE", "REFS", "DIRTY"))
        for row in rows:
            size, refs = f"{row['bytes'] / 1e6:.1f} MB", len(row["refs"])
            dirty = {True: "yes", False: "no", None: "?"}[row["dirty"]]
            dirty += f", {len(row['ignored'])} ignored files" if row["ignored"] else ""
            self.stdout.write(
                form.format(row["session"], row["project"], row["bead"], row["state"], size, refs, dirty)
            )

    def _restore(self, options: dict[str, Any]) -> None:
        place, source = worktree_restore(options["session"], options["to"])
        told = {"session": options["session"], "path": str(place), "from": source}
        self.stdout.write(json.dumps(told) if options["json"] else f"The files of {source} are in {place}.")

    def _clean(self, options: dict[str, Any]) -> None:
        hours = options["keep_hours"]
        done = worktrees_clean(keep=None if hours is None else timedelta(hours=hours))
        said = f"Removed {done['removed']} ({done['bytes'] / 1e6:.1f} MB), kept {done['kept']}."
        self.stdout.write(json.dumps(done) if options["json"] else said)

    def _project(self, named: str) -> int | None:
        if not named:
            return None
        rows = Project.objects.filter(pk=named) if named.isdigit() else Project.objects.filter(slug=named)
        if (found := rows.first()) is None:
            raise CommandError(f"There is no project {named!r}.")
        return found.pk
