"""Sessions of browsers know whose they are; those that are open stay open. A new e-mail address waits."""

from datetime import timedelta
from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import migrations, models
from django.utils import timezone


def sessions_move(apps: Any, schema_editor: Any) -> None:
    """From Django's table into ours, in which nobody is signed out by that."""
    old, new = apps.get_model("sessions", "Session"), apps.get_model("accounts", "BrowserSession")
    store, life = SessionStore(), timedelta(seconds=settings.SESSION_COOKIE_AGE)
    for row in old.objects.filter(expire_date__gt=timezone.now()).iterator():
        whose = store.decode(row.session_data).get(SESSION_KEY)
        new.objects.create(
            session_key=row.session_key,
            session_data=row.session_data,
            expire_date=row.expire_date,
            user_id=int(whose) if whose else None,
            used_at=row.expire_date - life,
        )
    old.objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_credentials"),
        ("sessions", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="pending_email",
            field=models.EmailField(
                blank=True,
                default="",
                help_text="Asked for; in force once it is confirmed.",
                max_length=254,
            ),
            preserve_default=False,
        ),
        migrations.CreateModel(
            name="BrowserSession",
            fields=[
                (
                    "session_key",
                    models.CharField(
                        max_length=40, primary_key=True, serialize=False, verbose_name="session key"
                    ),
                ),
                ("session_data", models.TextField(verbose_name="session data")),
                ("expire_date", models.DateTimeField(db_index=True, verbose_name="expire date")),
                ("address", models.CharField(blank=True, max_length=45)),
                ("user_agent", models.CharField(blank=True, max_length=200)),
                ("used_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="browser_sessions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"verbose_name": "browser session"},
        ),
        migrations.RunPython(sessions_move, migrations.RunPython.noop),
    ]
