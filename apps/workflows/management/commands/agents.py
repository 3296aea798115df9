"""`manage.py agents`: the team of a project, and what each member is doing; pause, resume, stop, add."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.agents.models import Agent
from apps.core.errors import LoomError
from apps.projects.models import Project
from apps.workflows.system_flows import agent_add, agent_query, agent_tell


class Command(BaseCommand):
    help = "List agents, or change one: agents [list | add PROJECT ROLE | pause ID | resume ID | stop ID]."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "what", nargs="?", default="list", choices=["list", "add", "pause", "resume", "stop"]
        )
        parser.add_argument("which", nargs="*", help="the agent's id; for add: project and role")
        parser.add_argument("--org", default="local", help="the organization asked")
        parser.add_argument("--project", default="", help="only agents of this project (slug)")
        parser.add_argument("--paused", action="store_true", help="add: paused, for somebody to resume")
        parser.add_argument("--patience", type=float, help="stop: seconds to finish; then it hands over")
        parser.add_argument("--as", dest="person", default="a person at the terminal", help="who says so")
        parser.add_argument("--json", action="store_true", help="list: as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            self._do(options)
        except LoomError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error

    def _do(self, options: dict[str, Any]) -> None:
        if options["what"] == "list":
            self._list(options)
        elif options["what"] == "add":
            self._add(options)
        else:
            agent = self._agent(options)
            patience = options["patience"] if options["what"] == "stop" else None
            agent_tell(agent_id=agent.pk, command=options["what"], actor=options["person"], patience=patience)
            agent.refresh_from_db()
            self.stdout.write(f"{agent.pk}  {agent.name}: {agent.status}")

    def _list(self, options: dict[str, Any]) -> None:
        agents = Agent.objects.filter(project__organization__slug=options["org"])
        if options["project"]:
            agents = agents.filter(project__slug=options["project"])
        told = [agent_query(agent_id=agent.pk) for agent in agents.order_by("project_id", "pk")]
        if options["json"]:
            self.stdout.write(json.dumps(told))
            return
        for one in told:
            doing = " ".join(part for part in (one["bead"], one["action"]) if part)
            self.stdout.write(
                f"{one['agent_id']}  {one['name']} ({one['role']}): {one['status']}  {doing}".rstrip()
            )
        if not told:
            self.stdout.write("There is no agent yet; they join when work is dispatched.")

    def _add(self, options: dict[str, Any]) -> None:
        if len(options["which"]) != 2:
            raise CommandError("Say the project (slug) and the role: agents add PROJECT ROLE.")
        slug, role = options["which"]
        project = Project.objects.filter(organization__slug=options["org"], slug=slug).first()
        if project is None:
            raise CommandError(f"There is no project {slug} in the organization {options['org']}.")
        agent = agent_add(project=project, role=role, paused=options["paused"], actor=options["person"])
        self.stdout.write(f"{agent.pk}  {agent.name}: {agent.status}")

    def _agent(self, options: dict[str, Any]) -> Agent:
        given = options["which"]
        if len(given) != 1 or not given[0].isdecimal():
            raise CommandError(f"Say which agent: agents {options['what']} ID.")
        agent = Agent.objects.filter(pk=int(given[0]), project__organization__slug=options["org"]).first()
        if agent is None:
            raise CommandError(f"There is no agent {given[0]} in the organization {options['org']}.")
        found: Agent = agent
        return found
