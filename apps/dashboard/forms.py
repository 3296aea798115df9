"""Forms of the pages."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms

from apps.agents.merge_models import MOST, MergePolicy
from apps.beads.models import WORKABLE, Bead
from apps.projects.models import CHECK_KINDS, Project, Requirement
from apps.providers.models import Budget, Provider

PK_DIGITS = 18


def faults(form: forms.Form) -> str:
    """What is wrong with a form, each fault with the name of its field."""
    told = []
    for name, texts in form.errors.items():
        label = f"{form[name].label}: " if name in form.fields else ""
        told += [f"{label}{text}" for text in texts]
    return " ".join(told)


class Served(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    def clean(self, value: Any) -> Any:
        if any(len(str(pk)) > PK_DIGITS for pk in value or ()):  # too large for a database to look for
            raise forms.ValidationError("There is no such requirement.")
        return super().clean(value)

    def label_from_instance(self, obj: Requirement) -> str:
        return f"{obj.key} {obj.text[:80]}"


class BeadForm(forms.Form):
    title = forms.CharField(max_length=500)
    type = forms.ChoiceField(choices=[(value, value) for value in WORKABLE], required=False, initial="task")
    priority = forms.TypedChoiceField(
        choices=[
            (0, "P0 critical"),
            (1, "P1 high"),
            (2, "P2 normal"),
            (3, "P3 low"),
            (4, "P4 backlog"),
        ],
        coerce=int,
        initial=2,
    )
    role = forms.CharField(max_length=60, required=False)
    parent = forms.ModelChoiceField(Bead.objects.none(), required=False, empty_label="Without an epic")
    description = forms.CharField(required=False, max_length=20_000, widget=forms.Textarea(attrs={"rows": 5}))
    acceptance = forms.CharField(
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="One criterion a line.",
    )
    requirements = Served(
        Requirement.objects.none(),
        required=False,
        label="Serves",
        widget=forms.SelectMultiple(attrs={"size": 4}),
        help_text="Requirements; Ctrl and a click chooses another.",
    )

    def __init__(self, *args: Any, project: Project | None, **kwargs: Any) -> None:
        """Without a project only to be shown, once it is told the choices."""
        super().__init__(*args, **kwargs)
        if project is None:
            return
        served = self.fields["requirements"]
        if isinstance(served, Served):
            served.queryset = project.requirements.filter(status=Requirement.Status.ACTIVE)
        epics = Bead.objects.filter(project=project, type=Bead.Type.EPIC).only("key", "title")
        parent = self.fields["parent"]
        if isinstance(parent, forms.ModelChoiceField):
            parent.queryset = epics

    def fields_given(self) -> dict[str, Any]:
        given = dict(self.cleaned_data)
        lines = given.pop("acceptance").splitlines()
        return {
            **given,
            "type": given["type"] or Bead.Type.TASK,
            "requirements": list(given["requirements"]),
            "acceptance": [line.strip() for line in lines if line.strip()],
        }


class Names(forms.MultipleChoiceField):
    """Names of things that may be gone by now."""

    def valid_value(self, value: str) -> bool:
        return 0 < len(value) <= 120


class ProjectSettingsForm(forms.Form):
    name = forms.CharField(max_length=200)
    approval = forms.ChoiceField(
        choices=[("auto", "The decision-maker persona"), ("ask", "A person, before any work begins")],
        label="Who approves plans",
    )
    max_sessions = forms.IntegerField(min_value=1, max_value=64, label="Sessions at a time")
    budget_usd = forms.DecimalField(
        min_value=Decimal(0),
        max_digits=12,
        decimal_places=2,
        required=False,
        label="Budget in USD",
        help_text="Empty: no limit. Work stops and asks when it is used up.",
    )
    checks = forms.CharField(
        required=False,
        max_length=8_000,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        label="Checks",
        help_text=(
            'Commands that prove a change, one a line; "lint:" or "build:" before one says what it is.'
            " Empty: found from the files."
        ),
    )
    checks_off = Names(required=False, widget=forms.MultipleHiddenInput)
    allow_network = forms.BooleanField(required=False, label="Commands of agents may reach the network")
    allow_install = forms.BooleanField(required=False, label="Dependencies may be downloaded")
    is_perpetual = forms.BooleanField(required=False, label="Perpetual: there is always more to do")

    @classmethod
    def of(cls, project: Project, budget: Budget | None) -> ProjectSettingsForm:
        limit = budget.limit_microusd if budget else None
        return cls(
            initial={
                "name": project.name,
                "approval": project.approval,
                "max_sessions": project.max_sessions,
                "budget_usd": None if limit is None else Decimal(limit) / 1_000_000,
                "checks": "\n".join(_check_line(row) for row in project.checks if row.get("command")),
                "allow_network": project.allow_network,
                "allow_install": project.allow_install,
                "is_perpetual": project.is_perpetual,
            }
        )

    def settings(self, project: Project) -> dict[str, Any]:
        given = dict(self.cleaned_data)
        given.pop("budget_usd")
        lines = [line.strip() for line in given.pop("checks").splitlines() if line.strip()]
        left_out = [{"name": name, "enabled": False} for name in given.pop("checks_off")]
        names = {row.get("command"): row.get("name") for row in project.checks}
        return {**given, "checks": [_check(line, names) for line in lines] or left_out}


def _check_line(row: dict[str, Any]) -> str:
    """A check as it is typed: `lint: ruff check .`; one that is off begins with `#`."""
    kind = row.get("kind", "test")
    line = row["command"] if kind == "test" else f"{kind}: {row['command']}"
    return line if row.get("enabled", True) else f"# {line}"


def _check(line: str, names: dict[str, str]) -> dict[str, Any]:
    text = line.removeprefix("#").strip()
    kind, _, command = text.partition(":")
    if kind not in CHECK_KINDS:
        kind, command = "test", text
    command = command.strip()
    row = {"kind": kind, "name": names.get(command) or command[:80], "command": command}
    return {**row, "enabled": False} if line.startswith("#") else row


class GitForm(forms.Form):
    """The rules of merging, and the remote."""

    strategy = forms.ChoiceField(
        choices=[
            ("direct", "Loom merges what is proven"),
            ("branch-pr", "A person merges a branch that is pushed"),
        ],
        label="Who merges",
    )
    tampering = forms.ChoiceField(
        choices=[("warn", "the reviewer is told"), ("block", "a person must accept it, with a reason")],
        label="When a change weakens its own tests",
    )
    overlap = forms.ChoiceField(
        choices=[
            ("serialize", "they wait for each other"),
            ("parallel", "they work at once; the merge queue sorts it out"),
        ],
        label="When beads touch the same files",
    )
    batch_size = forms.IntegerField(min_value=1, max_value=MOST, label="Merges verified together")
    remote = forms.CharField(
        required=False,
        max_length=1000,
        label="Remote",
        help_text="https://host/path, ssh://host/path or user@host:path. Empty: work stays in Loom.",
    )
    username = forms.CharField(required=False, max_length=200, label="User name, for https")
    credential = forms.CharField(
        required=False,
        max_length=8000,
        label="Token or password",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Kept encrypted, and never shown again. Empty: stays as it is.",
    )

    @classmethod
    def of(cls, policy: MergePolicy) -> GitForm:
        return cls(
            initial={name: getattr(policy, name, "") for name in cls.base_fields if name != "credential"}
        )

    def changes(self) -> dict[str, Any]:
        given = dict(self.cleaned_data)
        return given if given["credential"] else {key: given[key] for key in given if key != "credential"}


class ProviderForm(forms.Form):
    name = forms.CharField(max_length=80)
    kind = forms.ChoiceField(
        choices=[choice for choice in Provider.Kind.choices if choice[0] != Provider.Kind.SCRIPTED]
    )
    endpoint = forms.CharField(
        max_length=500, required=False, label="Address", help_text="For example http://localhost:11434/v1"
    )
    model = forms.CharField(max_length=200)
    key = forms.CharField(
        max_length=500,
        required=False,
        label="API key",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Kept encrypted, and never shown again.",
    )
