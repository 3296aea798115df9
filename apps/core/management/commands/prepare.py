"""Makes an installation ready: tables, personas and the first administrator."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError

from apps.core.errors import LoomError
from apps.core.preparation import admin_prepare, data_dir_check, database_prepare, house_furnish


class Command(BaseCommand):
    help = "Create or update the tables and the personas, and the administrator on the first start."
    requires_system_checks: list[str] = []

    def handle(self, *args: object, **options: object) -> None:
        try:
            data_dir_check()
            database_prepare()
            house_furnish()
            password = admin_prepare()
        except LoomError as error:
            raise CommandError(error.told, returncode=2) from error
        if password is not None:
            self.stdout.write(f"Created the administrator: user admin, password {password}")
            self.stdout.write("It is shown only this once; change it at /account/password/.")
