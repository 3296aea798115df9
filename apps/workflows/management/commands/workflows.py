"""`manage.py workflows`: list, show, validate, export and import workflow definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from apps.accounts.models import Organization
from apps.accounts.services import DEFAULT_ORGANIZATION
from apps.core.errors import LoomError
from apps.projects.models import Project
from apps.workflows.definition_services import definition_import
from apps.workflows.graph import Graph
from apps.workflows.graph_library import Found, built_in, graph_check, workflows_in
from apps.workflows.graph_reading import MAX_CHARS, GraphRefused, graph_read
from apps.workflows.models import WorkflowDefinition
from apps.workflows.transfer import duration, graph_yaml

LEVELS = ("built in", "organization", "project")


class Command(BaseCommand):
    help = "List, show, validate, export and import workflow definitions (docs/workflows.md)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--org", default=DEFAULT_ORGANIZATION, help="slug of the organization")
        parser.add_argument("--project", default="", help="slug of one of its projects")
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="the workflows that the organization or project uses")
        for verb, does in (("show", "a workflow for people"), ("export", "a workflow as YAML")):
            one = verbs.add_parser(verb, help=does)
            one.add_argument("name")
            if verb == "export":
                one.add_argument("--to", type=Path, help="file to write (default: the terminal)")
        for verb, does in (
            ("validate", "what is wrong with a file"),
            ("import", "create or change from a file"),
        ):
            verbs.add_parser(verb, help=does).add_argument("file", type=Path)

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except GraphRefused as refused:
            for problem in refused.problems:
                self.stderr.write(f"{options.get('file', '')}: {problem}")
            many = "One problem" if len(refused.problems) == 1 else f"{len(refused.problems)} problems"
            raise CommandError(f"{many}; nothing was changed.") from refused
        except LoomError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be read ({error}); run manage.py prepare first."
            ) from error

    def _list(self, options: dict[str, Any]) -> None:
        for name, found in sorted(self._workflows(options).items()):
            rules = "; ".join(_rule(rule.types, rule.labels) for rule in found.graph.match)
            used = "all others" if found.graph.default else rules or "-"
            self.stdout.write(f"{name:18} {LEVELS[found.level]:13} {used}")

    def _show(self, options: dict[str, Any]) -> None:
        graph = self._named(options)
        self.stdout.write(f"{graph.name}: {graph.description.strip()}\nstarts at {graph.start}\n")
        for key, node in graph.nodes.items():
            about = [
                str(getattr(node, name)) for name in ("role", "action", "signal") if getattr(node, name, "")
            ]
            timeout = getattr(node, "timeout", None)
            about += [f"{duration(timeout)} at most"] if timeout is not None else []
            self.stdout.write(f"  {key} ({', '.join([node.kind, *about, f'{node.max_attempts} attempts'])})")
            for edge in graph.edges:
                if edge.source == key:
                    labels = f" if labelled {', '.join(edge.labels)}" if edge.labels else ""
                    self.stdout.write(f"    {edge.on}{labels} → {edge.target}")

    def _export(self, options: dict[str, Any]) -> None:
        text = graph_yaml(self._named(options))
        if options["to"] is None:
            self.stdout.write(text, ending="")
            return
        try:
            options["to"].write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{options['to']} cannot be written: {error.strerror}.") from error
        self.stdout.write(f"Written to {options['to']}.")

    def _validate(self, options: dict[str, Any]) -> None:
        graph = graph_read(_text(options["file"]))
        if problems := graph_check(graph):
            raise GraphRefused(graph.name, problems)
        self.stdout.write(f"{options['file']}: the workflow {graph.name} can be used.")

    def _import(self, options: dict[str, Any]) -> None:
        organization, project = self._place(options)
        if organization is None:
            raise CommandError(f"There is no organization {options['org']}.")
        made: WorkflowDefinition = definition_import(
            organization=organization,
            project=project,
            given=_text(options["file"]),
            actor="manage.py workflows",
        )
        where = project or organization
        self.stdout.write(f"{made.name}, version {made.version}, is a workflow of {where} now.")

    def _workflows(self, options: dict[str, Any]) -> dict[str, Found]:
        organization, project = self._place(options)
        if organization is None:
            return {name: Found(graph) for name, graph in built_in().items()}
        return workflows_in(organization.pk, project.pk if project is not None else None)

    def _named(self, options: dict[str, Any]) -> Graph:
        workflows = self._workflows(options)
        if options["name"] not in workflows:
            known = ", ".join(sorted(workflows))
            raise CommandError(f"There is no workflow {options['name']}; there are {known}.")
        return workflows[options["name"]].graph

    def _place(self, options: dict[str, Any]) -> tuple[Organization | None, Project | None]:
        organization = Organization.objects.filter(slug=options["org"]).first()
        # The default is not there yet in a new installation, which has the built-in workflows all the same.
        if organization is None and options["org"] != DEFAULT_ORGANIZATION:
            raise CommandError(f"There is no organization {options['org']}.")
        if not options["project"]:
            return organization, None
        project = Project.objects.filter(organization=organization, slug=options["project"]).first()
        if organization is None or project is None:
            raise CommandError(
                f"There is no project {options['project']} in the organization {options['org']}."
            )
        return organization, project


def _rule(types: tuple[str, ...], labels: tuple[str, ...]) -> str:
    parts = [f"type {' or '.join(types)}"] if types else []
    return " with ".join([*parts, *([f"label {' or '.join(labels)}"] if labels else [])])


def _text(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as source:
            return source.read(MAX_CHARS + 1)
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not a text in UTF-8.") from None
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
