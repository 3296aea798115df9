"""Short jobs that people watch on the pages of django-rq."""

from __future__ import annotations

from apps.activity import delivery


def deliver(delivery_id: int) -> str:
    return delivery.deliver(delivery_id)
