"""The form of a motivation: what it waits for, explained, and what follows."""

from __future__ import annotations

from typing import Any, Final

from django import forms

from apps.beads.models import WORKABLE, Bead
from apps.motivations.conditions import CONDITIONS
from apps.motivations.models import Motivation

# Condition -> what people call it, and when it fires.
WORDS: Final = {
    "time_reached": ("A moment", "Once, at a moment you name."),
    "scheduled_interval": ("A schedule", "Again and again: every so many minutes, or by a cron line."),
    "month_boundary": ("A new month", "When a month begins."),
    "quarter_boundary": ("A new quarter", "When January, April, July or October begins."),
    "deadline_approach": (
        "A deadline comes near",
        "Some days before a bead's due: label, or a moment you name.",
    ),
    "deadline_passed": ("A deadline has passed", "When a bead is still open after its due: label."),
    "bead_created": ("A bead is made", "Each new bead, or only those of some types or labels."),
    "bead_status_changed": ("A bead changes its status", "Any change, or only to one status."),
    "bead_completed": ("A bead is closed", "Work that was completed, or only of some types or labels."),
    "decision_pending": ("A decision waits", "When a decision has been open for so many minutes."),
    "decision_resolved": ("A decision is taken", "Each decision that is answered."),
    "test_failure": ("Checks fail", "On top of main; or, if you say so, of a claim before it is merged."),
    "release_published": ("A release", "When a release is told of from outside (external.release)."),
    "github_issue_opened": ("An issue on GitHub", "When an issue is opened."),
    "github_comment_added": ("A comment on GitHub", "When somebody comments on an issue or pull request."),
    "github_pr_opened": ("A pull request on GitHub", "When one is opened."),
    "webhook_received": ("A message from outside", "A POST to /motivations/external of the API."),
    "coverage_dropped": ("Coverage drops", "When test coverage is told to be below a figure."),
    "cost_exceeded": ("Cost passes a limit", "When so much of a budget, or so many dollars, are spent."),
    "velocity_drop": ("Work slows down", "When fewer beads are closed than in the days before."),
    "system_idle": ("Nothing happens", "When no agent of the organization has worked for so many minutes."),
    "agent_idle": ("An agent is idle", "When an agent of the role has not worked for so many minutes."),
    "project_idle": ("A project is idle", "When nobody has worked in the project for so many minutes."),
}
TYPES: Final = {
    "calendar": "By the clock",
    "event": "By what happens in Loom",
    "external": "By what happens outside",
    "threshold": "By a figure",
    "idle": "By idleness",
}
OF: Final = [("", "on top of main"), ("claim", "of a claim")]


def _number(label: str, text: str = "") -> forms.Field:
    return forms.FloatField(required=False, label=label, help_text=text)


def _words(label: str) -> forms.Field:
    return forms.CharField(required=False, max_length=400, label=label, help_text="Separated by spaces.")


def _parameters() -> dict[str, forms.Field]:
    """The fields of all parameters there are; a condition takes some of them."""
    return {
        "at": forms.CharField(label="When", help_text="Such as 2026-12-24T09:00:00Z."),
        "minutes": _number("Minutes"),
        "cron": forms.CharField(
            required=False,
            max_length=100,
            label="Or a cron line",
            help_text="Minute, hour, day, month, weekday in UTC: 0 9 * * 1 is Mondays at 9.",
        ),
        "days": _number("Days"),
        "deadline": forms.CharField(
            required=False,
            label="Deadline",
            help_text="Such as 2026-12-24; empty: of the beads' due: labels.",
        ),
        "percent": _number("Per cent"),
        "usd": _number("US dollars"),
        "hours": _number("Within hours"),
        "status": forms.ChoiceField(
            required=False, choices=[("", "any"), *Bead.Status.choices], label="To the status"
        ),
        "bead_types": forms.MultipleChoiceField(
            required=False,
            choices=Bead.Type.choices,
            widget=forms.CheckboxSelectMultiple,
            label="Only beads of type",
        ),
        "labels": _words("Only beads with one of the labels"),
        "of": forms.ChoiceField(required=False, choices=OF, label="Checks"),
        "webhook_type": forms.CharField(required=False, max_length=120, label="Only messages of type"),
    }


class MotivationForm(forms.Form):
    name = forms.CharField(max_length=160, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    description = forms.CharField(
        required=False, max_length=4000, widget=forms.Textarea(attrs={"rows": 2}), label="What it is for"
    )
    cooldown_minutes = forms.IntegerField(
        min_value=0,
        initial=60,
        label="Rest for minutes",
        help_text="After it has fired, before it may again.",
    )
    create_bead = forms.BooleanField(required=False, initial=True, label="Make a bead")
    title = forms.CharField(
        required=False, max_length=400, label="Title of the bead", help_text="Empty: the name."
    )
    instructions = forms.CharField(
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 4}),
        label="What is to be done",
    )
    acceptance = forms.CharField(
        required=False,
        max_length=8000,
        widget=forms.Textarea(attrs={"rows": 3}),
        label="Acceptance",
        help_text="One criterion a line.",
    )
    bead_type = forms.ChoiceField(choices=[(one, one) for one in WORKABLE], initial="task", label="Type")
    priority = forms.TypedChoiceField(
        choices=[(0, "P0 critical"), (1, "P1 high"), (2, "P2 normal"), (3, "P3 low"), (4, "P4 backlog")],
        coerce=int,
        initial=2,
    )
    bead_labels = _words("Labels")
    agent_role = forms.ChoiceField(required=False, label="For the role")
    wake_agent = forms.BooleanField(required=False, label="Wake an agent of the role at once")

    def __init__(self, *args: Any, condition: str, roles: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.condition = condition
        known = _parameters()
        self.taken = [name for name in known if name in CONDITIONS[condition].takes]
        for name in self.taken:
            self.fields[name] = known[name]
        role: Any = self.fields["agent_role"]
        role.choices = [("", "whoever fits"), *((one, one) for one in roles)]

    @property
    def parameter_fields(self) -> list[Any]:
        return [self[name] for name in self.taken]

    @classmethod
    def of(cls, row: Motivation, roles: list[str]) -> MotivationForm:
        template, parameters = row.bead_template, dict(row.parameters)
        for name in ("labels",):
            if name in parameters:
                parameters[name] = " ".join(parameters[name])
        initial = {
            **{name: getattr(row, name) for name in cls.base_fields if hasattr(row, name)},
            **parameters,
            "title": template.get("title", ""),
            "instructions": template.get("description", ""),
            "acceptance": "\n".join(template.get("acceptance", [])),
            "bead_type": template.get("type", "task"),
            "bead_labels": " ".join(template.get("labels", [])),
        }
        return cls(initial=initial, condition=row.condition, roles=sorted({*roles, row.agent_role} - {""}))

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if not given.get("create_bead") and not given.get("wake_agent"):
            self.add_error("create_bead", "Make a bead, wake an agent, or both: else nothing follows.")
        return given

    def fields_given(self) -> dict[str, Any]:
        """As the services take them."""
        given = dict(self.cleaned_data)
        template: dict[str, Any] = {
            "title": given.pop("title"),
            "description": given.pop("instructions"),
            "acceptance": [line.strip() for line in given.pop("acceptance").splitlines() if line.strip()],
            "labels": given.pop("bead_labels").split(),
        }
        kind = given.pop("bead_type")
        parameters = {name: self._parameter(name, given.pop(name)) for name in self.taken}
        return {
            **given,
            "bead_template": {"type": kind, **{key: value for key, value in template.items() if value}},
            "parameters": {name: value for name, value in parameters.items() if value not in (None, "", [])},
        }

    @staticmethod
    def _parameter(name: str, value: Any) -> Any:
        if name == "labels":
            return value.split()
        return int(value) if isinstance(value, float) and value.is_integer() else value
