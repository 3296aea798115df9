"""The form of what a person wants to hear of, by which ways, and when."""

from __future__ import annotations

from typing import Any, Final

from django import forms

from apps.activity.models import NotificationPreferences, Priority
from apps.activity.preferences import Digest
from apps.projects.models import Project

EVENTS: Final = {
    "decision.*": "Decisions and votes for me",
    "bead.assigned": "Beads assigned to me",
    "mention.*": "Mentions",
    "bead.blocked": "Beads that cannot go on without a person",
    "bead.created": "New critical beads",
    "deadline.*": "Deadlines",
    "log.message": "What Loom reports to administrators",
}
DIGESTS: Final = [
    (Digest.REALTIME, "at once"),
    (Digest.HOURLY, "every hour, in one message"),
    (Digest.DAILY, "every day at 8, in one message"),
]
PRIORITIES: Final = [
    (Priority.LOW, "everything"),
    (Priority.NORMAL, "normal and above"),
    (Priority.HIGH, "high and critical"),
    (Priority.CRITICAL, "critical only"),
]
CLOCK: Final = {"type": "time"}


class PreferencesForm(forms.Form):
    enable_in_app = forms.BooleanField(required=False, label="On these pages")
    enable_email = forms.BooleanField(required=False, label="By e-mail")
    enable_webhook = forms.BooleanField(required=False, label="By webhook")
    webhook_url = forms.CharField(
        required=False,
        max_length=500,
        label="Address of the webhook",
        help_text="https://…, reached by POST.",
    )
    events = forms.MultipleChoiceField(
        choices=list(EVENTS.items()), required=False, widget=forms.CheckboxSelectMultiple
    )
    other_events = forms.CharField(
        required=False,
        max_length=2000,
        label="Other types of events",
        help_text="Separated by spaces; * stands for anything.",
    )
    projects = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    min_priority = forms.ChoiceField(choices=PRIORITIES, label="How urgent at least")
    digest_mode = forms.ChoiceField(choices=DIGESTS, label="Messages come")
    quiet_hours_start = forms.CharField(
        required=False, max_length=8, label="Quiet from", widget=forms.TextInput(attrs=CLOCK)
    )
    quiet_hours_end = forms.CharField(
        required=False, max_length=8, label="until", widget=forms.TextInput(attrs=CLOCK)
    )
    time_zone = forms.CharField(
        max_length=60, label="Time zone", help_text="A name such as Europe/Berlin or UTC."
    )

    def __init__(self, *args: Any, projects: list[Project], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices: Any = self.fields["projects"]
        choices.choices = [(project.pk, project.name) for project in projects]

    @classmethod
    def of(cls, row: NotificationPreferences, projects: list[Project]) -> PreferencesForm:
        chosen = set(row.subscribed_events)
        initial = {
            name: getattr(row, name) for name in cls.base_fields if hasattr(row, name) and name != "projects"
        }
        initial |= {
            "events": [kind for kind in EVENTS if not chosen or kind in chosen],
            "other_events": " ".join(sorted(chosen - set(EVENTS))),
            "projects": row.project_filters,
            "quiet_hours_start": _clock(row.quiet_hours_start),
            "quiet_hours_end": _clock(row.quiet_hours_end),
        }
        return cls(initial=initial, projects=projects)

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if not given.get("events") and not given.get("other_events"):
            self.add_error("events", "Choose some, or turn all ways off.")
        return given

    def preferences(self, row: NotificationPreferences) -> dict[str, Any]:
        """As the service takes them. Projects that the person cannot see now stay as they were."""
        given = dict(self.cleaned_data)
        events, others = given.pop("events"), given.pop("other_events").split()
        projects = {int(pk) for pk in given.pop("projects")}
        everything = len(events) == len(EVENTS) and not others
        offered: Any = self.fields["projects"]
        hidden = set(row.project_filters) - {pk for pk, _ in offered.choices}
        return {
            **given,
            "subscribed_events": [] if everything else [*events, *others],
            "project_filters": sorted(projects | hidden),
        }


def _clock(moment: Any) -> str:
    return f"{moment:%H:%M}" if moment is not None else ""
