"""`manage.py self_improve`: let Loom (or any project) improve itself, with a person before every merge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.services import organization_ensure, slug_of
from apps.agents.persona_services import personas_sync
from apps.core.errors import LoomError
from apps.projects.models import Project
from apps.workflows.self_improvement import self_improve, self_improvement_mark, self_improvement_unmark


class Command(BaseCommand):
    help = "Improve a repository on this machine for ever: self_improve --repo PATH, or --project SLUG."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--repo", type=Path, help="the repository; it is only read")
        which.add_argument("--project", help="a project that exists already (slug)")
        parser.add_argument("--name", default="Loom", help="with --repo: the project's name")
        parser.add_argument("--ref", default="HEAD", help="with --repo: the branch to begin with")
        parser.add_argument("--off", action="store_true", help="with --project: an ordinary project again")
        parser.add_argument("--org", default="local", help="the organization it belongs to")
        parser.add_argument("--as", dest="person", default="a person at the terminal", help="who says so")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            if options["repo"] is not None:
                self._repo(options)
            else:
                self._project(options)
        except LoomError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error

    def _repo(self, options: dict[str, Any]) -> None:
        personas_sync()
        done = self_improve(
            organization=organization_ensure(name=options["org"]),
            repo=options["repo"],
            name=options["name"],
            wanted=options["ref"],
            actor=options["person"],
        )
        project = done.project
        self.stdout.write(
            f"{project.name} ({project.slug}) improves itself from {done.commit[:12]} on.\n"
            "Nothing is merged before a person approves it, and nothing is ever pushed. To fetch it:\n"
            f"  git -C {options['repo']} fetch {done.hub} {project.branch}"
        )

    def _project(self, options: dict[str, Any]) -> None:
        personas_sync()
        project = Project.objects.filter(
            organization__slug=slug_of(options["org"]), slug=options["project"]
        ).first()
        if project is None:
            raise CommandError(
                f"There is no project {options['project']} in the organization {options['org']}."
            )
        change = self_improvement_unmark if options["off"] else self_improvement_mark
        change(project=project, actor=options["person"])
        self.stdout.write(
            f"{project.name} {'is an ordinary project again' if options['off'] else 'improves itself'}."
        )
