"""The form that answers a decision, shared by the admin and the dashboard."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.decisions.models import Decision


class AnswerForm(forms.Form):
    choice = forms.CharField(label="Answer", max_length=2000)
    rationale = forms.CharField(
        label="Why",
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Optional; the agents read it.",
    )

    def __init__(self, *args: Any, decision: Decision, **kwargs: Any) -> None:
        kwargs.setdefault("auto_id", f"decision-{decision.pk}-%s")  # several forms share a page
        super().__init__(*args, **kwargs)
        if decision.options:
            choices = [(option["key"], option.get("label") or option["key"]) for option in decision.options]
            self.fields["choice"] = forms.ChoiceField(
                label="Answer", choices=choices, widget=forms.RadioSelect
            )

    def answer(self) -> dict[str, Any]:
        return {"choice": self.cleaned_data["choice"], "rationale": self.cleaned_data["rationale"]}
