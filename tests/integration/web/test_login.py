from __future__ import annotations

import base64
import json
import re

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select
from structlog.testing import capture_logs

from tests.integration.web.browsing import HOST, PASSWORD, Browser, Hour, app_with
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import events

GUARDED = ["/", "/today/live", "/today/pace", "/runs", "/orders", "/search?q=x"]


def trail(ledger: Ledger) -> list[tuple[str, str]]:
    with ledger.read() as connection:
        rows = connection.execute(select(events.c.kind, events.c.actor).order_by(events.c.id))
        return [(row.kind, row.actor) for row in rows]


@pytest.mark.parametrize(("password", "sentence"), [(None, "Set CARTBRIDGE_WEB__"), ("$argon2id$nonsense", "is none")])
def test_page_is_closed_and_says_why_when_no_usable_password_is_set(
    ledger: Ledger, hour: Hour, password: str | None, sentence: str
) -> None:
    browser = Browser(app_with(ledger, hour, password=password))
    for path in (*GUARDED, "/login"):
        answer = browser.get(path)
        assert answer.status_code == 403
        assert "CARTBRIDGE_WEB__ADMIN_PASSWORD" in answer.text
        assert sentence in answer.text
        assert "nonsense" not in answer.text
    browser.close()


def test_stranger_is_sent_to_sign_in_when_nobody_is(anonymous: Browser) -> None:
    for path in GUARDED:
        answer = anonymous.get(path)
        assert (answer.status_code, answer.text) == (303, "")
        assert answer.headers["location"].startswith("/login")


def test_fragment_sends_the_whole_page_to_sign_in_when_the_session_is_over(operator: Browser, hour: Hour) -> None:
    hour.passes(hours=12, seconds=1)
    answer = operator.get("/today/live", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/login")


def test_page_asks_once_more_from_here_when_a_link_from_elsewhere_came_without_the_cookie(anonymous: Browser) -> None:
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    answer = anonymous.get("/runs?state=review&reason=refused", headers=elsewhere)
    assert answer.status_code == 200
    target = "/runs?state=review&amp;reason=refused"
    assert f'<meta http-equiv="refresh" content="0; url={target}">' in answer.text
    assert anonymous.get("/runs", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303
    forged = anonymous.post("/logout", headers=elsewhere)
    assert (forged.status_code, forged.headers["location"]) == (303, "/login")


def test_operator_is_let_in_where_he_wanted_to_go_when_the_password_is_right(
    anonymous: Browser, ledger: Ledger
) -> None:
    target = anonymous.get("/runs?state=review").headers["location"]
    assert target == "/login?next=%2Fruns%3Fstate%3Dreview"
    assert 'value="/runs?state=review"' in anonymous.get(target).text
    answer = anonymous.sign_in("Ann Ås", next="/runs?state=review")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?state=review")
    assert "Ann Ås" in anonymous.get("/runs?state=review").text
    assert trail(ledger) == [("login", "operator:Ann Ås")]


@pytest.mark.parametrize("target", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/\nx", "/a\\b"])
def test_login_leads_home_when_the_target_is_not_ours(anonymous: Browser, target: str) -> None:
    assert anonymous.sign_in(next=target).headers["location"] == "/"


def test_session_cookie_is_kept_from_scripts_and_other_sites_when_given(anonymous: Browser) -> None:
    cookie = anonymous.sign_in().headers.get_list("set-cookie")[0]
    assert re.match(r"cartbridge_session=[^;]+; HttpOnly; Max-Age=43200; Path=/; SameSite=strict$", cookie)


def test_cookie_is_for_https_alone_when_the_browser_came_by_it(anonymous: Browser) -> None:
    token = anonymous.form_token("/login")
    fields = {"form_token": token, "name": "Ann", "password": PASSWORD}
    answer = anonymous.send_form("/login", fields, origin="https://cartbridge.example")
    assert answer.status_code == 303
    cookie = answer.headers.get_list("set-cookie")[0]
    assert cookie.startswith("__Host-cartbridge_session=")
    assert cookie.endswith("; Path=/; SameSite=strict; Secure")
    # A browser keeps it from every other host, and a planted one of the other name is no bar.
    name, _, value = cookie.partition(";")[0].partition("=")
    headers = {"Cookie": f"cartbridge_session=planted; {name}={value}"}
    assert anonymous.get("/", headers=headers).status_code == 200


@pytest.mark.parametrize("planted", ["x", "", "é", "a.b"])
def test_operator_stays_signed_in_when_another_host_of_the_domain_planted_a_cookie_of_the_name(
    operator: Browser, anonymous: Browser, planted: str
) -> None:
    ours = f"cartbridge_session={operator.cookies['cartbridge_session']}"
    for cookies in (f"cartbridge_session={planted}; {ours}", f"{ours}; cartbridge_session={planted}"):
        assert operator.get("/", headers={"Cookie": cookies.encode()}).status_code == 200
    token = anonymous.form_token("/login")
    login = f"cartbridge_login={anonymous.cookies['cartbridge_login']}"
    fields = {"form_token": token, "name": "Ann", "password": PASSWORD}
    headers = {"Origin": HOST, "Cookie": f"{login}; cartbridge_login={planted}".encode()}
    assert anonymous.post("/login", data=fields, headers=headers).status_code == 303


def test_refusal_is_in_the_audit_trail_without_name_and_password_when_it_is_wrong(
    anonymous: Browser, ledger: Ledger
) -> None:
    with capture_logs() as lines:
        answer = anonymous.sign_in("slipped-password", "wrong-password")
    assert answer.status_code == 401
    assert "That name and password do not belong together." in answer.text
    assert anonymous.get("/").status_code == 303
    with ledger.read() as connection:
        (row,) = connection.execute(select(events)).all()
    assert (row.kind, row.actor, row.detail) == ("login_refused", "operator:unknown", {"client": "192.0.2.7"})
    assert "wrong-password" not in f"{row}{lines}{answer.text}"
    assert "slipped-password" not in f"{row}{lines}"


@pytest.mark.parametrize("name", ["x" * 61, "a\x07b"])
def test_login_refuses_a_name_when_it_cannot_be_one(anonymous: Browser, ledger: Ledger, name: str) -> None:
    answer = anonymous.sign_in(name)
    assert answer.status_code == 422
    assert trail(ledger) == []


def test_guessing_is_slowed_down_when_it_goes_on(anonymous: Browser, ledger: Ledger) -> None:
    token = anonymous.form_token("/login")
    fields = {"form_token": token, "name": "Eve", "password": "guess"}
    answers = [anonymous.send_form("/login", fields) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    # The right one is not looked at either, and nothing of it is written.
    assert anonymous.send_form("/login", {**fields, "password": PASSWORD}).status_code == 429
    assert len(trail(ledger)) == 5


def test_hash_is_as_good_as_the_password_when_it_is_set(ledger: Ledger, hour: Hour) -> None:
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("behind the hash")
    browser = Browser(app_with(ledger, hour, password=hashed))
    assert browser.sign_in(password=hashed).status_code == 401
    assert browser.sign_in(password="behind the hash").status_code == 303
    browser.close()


def test_sessions_end_when_the_password_is_changed(operator: Browser, ledger: Ledger, hour: Hour) -> None:
    assert operator.get("/").status_code == 200
    other = Browser(app_with(ledger, hour, password="another password"))
    cookie = operator.cookies["cartbridge_session"]
    assert other.get("/", headers={"Cookie": f"cartbridge_session={cookie}"}).status_code == 303
    other.close()


def test_session_ends_when_the_operator_signs_out(operator: Browser, ledger: Ledger, hour: Hour) -> None:
    cookie = operator.cookies["cartbridge_session"]
    token = operator.form_token("/")
    answer = operator.send_form("/logout", {"form_token": token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "cartbridge_session" not in operator.cookies
    # A copy of the cookie is of no use either, nor after a restart, nor in another process.
    assert operator.get("/", headers={"Cookie": f"cartbridge_session={cookie}"}).status_code == 303
    other = Browser(app_with(ledger, hour))
    assert other.get("/", headers={"Cookie": f"cartbridge_session={cookie}"}).status_code == 303
    other.close()


def test_session_goes_on_when_the_process_is_restarted(operator: Browser, ledger: Ledger, hour: Hour) -> None:
    cookie = operator.cookies["cartbridge_session"]
    other = Browser(app_with(ledger, hour))
    assert other.get("/", headers={"Cookie": f"cartbridge_session={cookie}"}).status_code == 200
    other.close()


def test_guessing_is_slowed_down_in_every_process_when_it_goes_on(ledger: Ledger, hour: Hour) -> None:
    browsers = [Browser(app_with(ledger, hour)) for _ in range(2)]
    statuses = [browsers[number % 2].sign_in(password="guess").status_code for number in range(6)]
    assert statuses == [401] * 5 + [429]
    hour.passes(seconds=1)
    assert browsers[0].sign_in().status_code == 303
    assert browsers[1].sign_in().status_code == 303
    for browser in browsers:
        browser.close()


@pytest.mark.parametrize("length", [0, 1, len(PASSWORD) - 1])
def test_prefix_of_the_password_is_refused(anonymous: Browser, length: int) -> None:
    assert anonymous.sign_in(password=PASSWORD[:length]).status_code == 401


def test_real_client_is_locked_out_and_named_when_it_comes_by_a_trusted_proxy(ledger: Ledger, hour: Hour) -> None:
    app = app_with(ledger, hour, web={"trusted_proxies": "192.0.2.0/24"})
    browser = Browser(app, address="192.0.2.7")
    guesser = {"X-Forwarded-For": "198.51.100.4, 203.0.113.9"}
    fields = {"form_token": browser.form_token("/login"), "name": "Eve", "password": "guess"}
    answers = [browser.post("/login", data=fields, headers={"Origin": HOST, **guesser}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert browser.sign_in().status_code == 303
    with ledger.read() as connection:
        clients = list(connection.scalars(select(events.c.detail).order_by(events.c.id)))
    assert [detail["client"] for detail in clients] == ["203.0.113.9"] * 5 + ["192.0.2.7"]
    browser.close()


def test_cookie_of_the_login_form_opens_nothing_when_it_is_sent_as_a_session(anonymous: Browser) -> None:
    anonymous.get("/login")
    cookie = anonymous.cookies["cartbridge_login"]
    assert anonymous.get("/", headers={"Cookie": f"cartbridge_session={cookie}"}).status_code == 303


def test_forged_session_is_refused_when_its_signature_is_anothers(operator: Browser) -> None:
    payload, _, signature = operator.cookies["cartbridge_session"].partition(".")
    name, expires, nonce = json.loads(base64.urlsafe_b64decode(payload + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(["Eve", expires * 2, nonce]).encode()).decode().rstrip("=")
    for cookie in (f"{forged}.{signature}", f"{payload}.", payload, "é.é", f"{payload}.{signature}x"):
        headers = {"Cookie": f"cartbridge_session={cookie}".encode()}
        assert operator.get("/", headers=headers).status_code == 303
    assert name == "Ann"


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://cartbridge.example:81", "http://[x"])
def test_form_is_refused_when_another_site_sent_it(operator: Browser, origin: str | None) -> None:
    token = operator.form_token("/")
    answer = operator.send_form("/logout", {"form_token": token}, origin=origin)
    assert answer.status_code == 403
    assert operator.get("/").status_code == 200


@pytest.mark.parametrize("token", ["", "x", "ü"])
def test_form_is_refused_when_its_token_is_not_ours(operator: Browser, token: str) -> None:
    assert operator.send_form("/logout", {"form_token": token}).status_code == 403
    assert operator.get("/").status_code == 200


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a=" + b"x" * 300_000, "application/x-www-form-urlencoded", 413),
        (b"a=%FF", "application/x-www-form-urlencoded", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"a=%00", "application/x-www-form-urlencoded", 400),
        (b"a=1&" * 3000, "application/x-www-form-urlencoded", 400),
    ],
)
def test_form_is_refused_when_it_is_none_of_ours(
    operator: Browser, body: bytes, content_type: str, status: int
) -> None:
    answer = operator.post("/logout", content=body, headers={"Origin": HOST, "Content-Type": content_type})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_pages_carry_their_headers_when_they_are_shown(operator: Browser) -> None:
    for path in ("/", "/login", "/runs", "/runs?state=nonsense"):
        headers = operator.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "same-origin"


def test_pages_hold_no_inline_script_or_style_when_they_are_shown(operator: Browser) -> None:
    for path in ("/", "/login", "/runs", "/orders", "/search?q=nothing"):
        text = operator.get(path).text
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|hx-on", text)


def test_own_files_may_be_kept_when_their_version_is_todays(anonymous: Browser) -> None:
    text = anonymous.get("/login").text
    found = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
    assert len(found) >= 4
    for path in found:
        answer = anonymous.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert anonymous.get(re.sub("/static/[^/]+/", "/static/old/", path)).headers["cache-control"] == "no-store"
    assert anonymous.get("/static/x/../../app.py").status_code == 404
    assert anonymous.get("/static/x/nothing.css").status_code == 404
