"""Forms of the admin pages."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.engine.services import SIGNAL_CHARS


class SignalForm(forms.Form):
    name = forms.CharField(max_length=SIGNAL_CHARS, help_text="What the run waits for, if it waits.")
    content = forms.JSONField(
        label="Data",
        initial=dict,
        required=False,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="A JSON object, or nothing.",
    )

    def clean_content(self) -> dict[str, Any]:
        data = self.cleaned_data["content"] or {}
        if not isinstance(data, dict):
            raise forms.ValidationError("This must be a JSON object, such as {“choice”: “yes”}.")
        return data
