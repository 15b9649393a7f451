"""A browser without a socket for the operator's page: keeps cookies, fills in forms, and says where it comes from."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from tests.unit.worker.web.asking import NOW, AppClient, RecordingDispatcher, settings_with
from worker.ledger.session import Ledger
from worker.settings.settings import Settings
from worker.web.app import create_app

PASSWORD = "planted-admin-password"
HOST = "http://cartbridge.example"


class Hour:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **length: float) -> None:
        self.now += timedelta(**length)


def settings_of_the_page(password: str | None = PASSWORD, **changes: dict[str, Any]) -> Settings:
    web = {"admin_password": None if password is None else SecretStr(password), **changes.pop("web", {})}
    return settings_with(web=web, **changes)


def app_with(ledger: Ledger, clock: Hour, *, password: str | None = PASSWORD, **changes: dict[str, Any]) -> FastAPI:
    settings = settings_of_the_page(password, **changes)
    return create_app(settings, ledger, RecordingDispatcher(), clock=clock)


class Browser(AppClient):
    """Asks as a browser does."""

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies

    def form_token(self, path: str) -> str:
        """The token in the first form of a page."""
        page = self.get(path)
        found = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert found, page.text
        return unescape(found[1])

    def send_form(self, path: str, fields: dict[str, str], *, origin: str | None = HOST) -> httpx.Response:
        headers = {} if origin is None else {"Origin": origin}
        return self.post(path, data=fields, headers=headers)

    def sign_in(self, name: str = "Ann", password: str = PASSWORD, **more: str) -> httpx.Response:
        token = self.form_token("/login")
        return self.send_form("/login", {"form_token": token, "name": name, "password": password, **more})
