"""E-mail about an account's own address: the link that confirms a new one, and word to the old one."""

from __future__ import annotations

from typing import Final

from apps.accounts.email_services import email_link
from apps.activity.models import Delivery

About = Delivery.About
CONFIRM: Final = """Somebody who is signed in to Loom as {user} gave this address as theirs.

If it was you, confirm it within two days:
{link}

If it was not, do nothing: the address is not used then.
"""
CHANGED: Final = """The account {user} of Loom {what}.

If that was not you, sign in, change your password and sign out everywhere else.
"""


def is_wanted(delivery: Delivery) -> bool:
    """False once the address was confirmed, withdrawn or replaced."""
    user = delivery.user
    return user.is_active and (delivery.about != About.CONFIRM or delivery.target == user.pending_email)


def account_text(delivery: Delivery) -> tuple[str, str]:
    """The subject and the text."""
    user = delivery.user
    if delivery.about == About.CONFIRM:
        return "Confirm your e-mail address for Loom", CONFIRM.format(user=user, link=email_link(user))
    what = (
        "is to have another e-mail address"
        if user.email == delivery.target
        else "has another e-mail address now"
    )
    return "Your e-mail address at Loom changes", CHANGED.format(user=user, what=what)
