"""The admin port: its routes, its token and sessions, and what keeps strangers' pages out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from web_rig import Answer, Wire

from lmgw.config.snapshot import Gateway
from lmgw.secret import Secret
from lmgw.web.admin import admin_site
from lmgw.web.operations import ReloadResult
from lmgw.web.sessions import LIMIT

TOKEN = "correct horse"
BEARER = f"Authorization: Bearer {TOKEN}"


class FakeOperations:
    def __init__(self) -> None:
        self.gateway = Gateway()
        self.reloads: list[Deferred[ReloadResult]] = []
        self.result: Deferred[ReloadResult] = succeed(ReloadResult("reloaded abc: +1 tier", ("+1 tier",)))

    def health(self) -> Mapping[str, Any]:
        return {"status": "ok", "ready": True}

    def config(self) -> Mapping[str, Any]:
        return {"tiers": []}

    def reload(self) -> Deferred[ReloadResult]:
        self.reloads.append(self.result)
        return self.result


class AdminTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.operations = FakeOperations()
        self.site = admin_site(self.operations, self.clock)
        self.client = self.connect()

    def connect(self, local: str = "127.0.0.1") -> Wire:
        return Wire(self.site, local=local)

    def get(self, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> Answer:
        if not any(header.startswith("Host") for header in headers):
            headers = (*headers, "Host: 127.0.0.1:8081")
        return self.client.get(target, *headers, method=method, body=body)

    def post(self, target: str, *headers: str, body: bytes = b"") -> Answer:
        return self.get(target, *headers, method="POST", body=body)


class RouteTests(AdminTestCase):
    def test_health_and_config_are_shown(self) -> None:
        self.assertEqual(self.get("/admin/health").json, {"status": "ok", "ready": True})
        self.assertEqual(self.get("/admin/config").json, {"tiers": []})

    def test_a_reload_says_what_changed(self) -> None:
        answer = self.post("/admin/reload")
        self.assertEqual(answer.status, 200)
        self.assertEqual(
            answer.json, {"status": "reloaded", "summary": "reloaded abc: +1 tier", "changes": ["+1 tier"]}
        )

    def test_a_reload_that_fails_says_why(self) -> None:
        self.operations.result = succeed(ReloadResult("reload failed", problems=("a.toml: no", "b.toml: no")))
        answer = self.post("/admin/reload/")
        self.assertEqual((answer.status, answer.json["problems"]), (422, ["a.toml: no", "b.toml: no"]))

    def test_a_reload_goes_on_when_its_caller_goes_away(self) -> None:
        self.operations.result = Deferred()
        self.client.send(b"POST /admin/reload HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        self.client.close()
        self.operations.result.callback(ReloadResult("done"))
        self.assertEqual(self.client.value(), b"")

    def test_a_reload_that_breaks_is_a_500_in_words(self) -> None:
        self.operations.result = Deferred()
        self.operations.result.errback(RuntimeError("oh"))
        answer = self.post("/admin/reload")
        self.assertEqual(answer.status, 500)
        self.assertIn("internal error", answer.message)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_an_answer_may_load_nothing(self) -> None:
        answer = self.get("/admin/health")
        self.assertIn("default-src 'none'", answer.headers["content-security-policy"])
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertEqual(answer.headers["x-frame-options"], "DENY")

    def test_an_unknown_route_is_told_where_to_look(self) -> None:
        answer = self.post("/v1/chat/completions")
        self.assertEqual(answer.status, 404)
        self.assertEqual(
            answer.message, "no route POST /v1/chat/completions: this is the admin port; GET / lists what it has"
        )
        answer = self.get("/admin/reload")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST"))


class HostTests(AdminTestCase):
    def test_a_rebound_name_is_refused(self) -> None:
        for target in ("/", "/admin/health"):
            answer = self.get(target, "Host: evil.example:8081")
            self.assertEqual(answer.status, 403)
            self.assertIn("admin_allowed_hosts", answer.message)

    def test_a_listed_name_is_allowed(self) -> None:
        self.operations.gateway = Gateway(admin_allowed_hosts=("gw.lan",))
        self.assertEqual(self.get("/admin/health", "Host: gw.lan:8081").status, 200)

    def test_with_a_token_the_name_does_not_matter(self) -> None:
        self.operations.gateway = Gateway(admin_token=Secret(TOKEN))
        self.assertEqual(self.get("/admin/health", BEARER, "Host: gw.lan:8081").status, 200)


class OriginTests(AdminTestCase):
    def test_a_foreign_page_changes_nothing(self) -> None:
        for origin in ("https://evil.example", "null", "http://127.0.0.1:3000"):
            self.assertEqual(self.post("/admin/reload", f"Origin: {origin}").status, 403)
        self.assertEqual(self.operations.reloads, [])

    def test_a_foreign_page_changes_nothing_even_with_the_token(self) -> None:
        self.operations.gateway = Gateway(admin_token=Secret(TOKEN))
        self.assertEqual(self.post("/admin/reload", BEARER, "Origin: https://evil.example").status, 403)

    def test_our_own_page_may(self) -> None:
        self.assertEqual(self.post("/admin/reload", "Origin: http://127.0.0.1:8081").status, 200)

    def test_no_page_is_told_that_it_may_read(self) -> None:
        answer = self.get("/admin/health", "Origin: https://evil.example")
        self.assertNotIn("access-control-allow-origin", answer.headers)


class ReadOnlyTests(AdminTestCase):
    def test_without_a_token_other_machines_change_nothing(self) -> None:
        self.client = self.connect(local="192.0.2.9")
        self.assertEqual(self.get("/admin/health").status, 200)
        answer = self.post("/admin/reload")
        self.assertEqual(answer.status, 403)
        self.assertIn("admin_token_env", answer.message)
        self.assertEqual(self.operations.reloads, [])

    def test_with_a_token_they_may(self) -> None:
        self.operations.gateway = Gateway(admin_token=Secret(TOKEN))
        self.client = self.connect(local="192.0.2.9")
        self.assertEqual(self.post("/admin/reload", BEARER).status, 200)

    def test_ipv6_loopback_is_this_machine(self) -> None:
        self.client = self.connect(local="::1")
        self.assertEqual(self.post("/admin/reload").status, 200)


class TokenTests(AdminTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.operations.gateway = Gateway(admin_token=Secret(TOKEN))

    def login(self) -> str:
        answer = self.post("/admin/login", body=b'{"token":"correct horse"}')
        self.assertEqual(answer.status, 200)
        cookie = answer.headers["set-cookie"]
        self.assertRegex(cookie, r"^lmgw_session=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200$")
        return cookie.partition(";")[0]

    def test_everything_asks_for_the_token(self) -> None:
        for method, target in [
            ("GET", "/admin/health"),
            ("GET", "/admin/config"),
            ("POST", "/admin/reload"),
            ("GET", "/nowhere"),
            ("GET", "//admin//health"),
            ("OPTIONS", "*"),
            ("GET", "//"),
        ]:
            for headers in (
                [],
                ["Authorization: Bearer wrong"],
                [f"Authorization: Basic {TOKEN}"],
                ["Authorization: Bearer"],
                ["Cookie: lmgw_session=x"],
                [f"Cookie: lmgw_session={TOKEN}"],
            ):
                answer = self.get(target, *headers, method=method)
                self.assertEqual(answer.status, 401, (method, target, headers))
                self.assertIn("bearer", answer.headers["www-authenticate"].lower())
        self.assertEqual(self.operations.reloads, [])

    def test_the_page_asks_for_none(self) -> None:
        self.assertEqual(self.get("/").status, 200)
        self.assertEqual(self.get("/", method="HEAD").status, 200)

    def test_the_token_opens_everything(self) -> None:
        self.assertEqual(self.get("/admin/health", BEARER).status, 200)
        self.assertEqual(self.get("/admin/health", f"authorization: bearer  {TOKEN}").status, 200)
        self.assertEqual(self.post("/admin/reload", BEARER).status, 200)

    def test_a_token_may_hold_more_than_ascii(self) -> None:
        self.operations.gateway = Gateway(admin_token=Secret("Schlüssel"))
        bearer = "Authorization: Bearer Schlüssel".encode().decode("latin-1")
        self.assertEqual(self.get("/admin/health", bearer).status, 200)

    def test_a_session_stands_for_the_token(self) -> None:
        cookie = self.login()
        self.assertEqual(self.get("/admin/health", f"Cookie: a=b; {cookie}; c=d").status, 200)
        self.assertEqual(self.post("/admin/reload", f"Cookie: {cookie}", "Origin: http://127.0.0.1:8081").status, 200)

    def test_a_session_ends_after_twelve_hours(self) -> None:
        cookie = self.login()
        self.clock.advance(12 * 3600 - 1)
        self.client = self.connect()
        self.assertEqual(self.get("/admin/health", f"Cookie: {cookie}").status, 200)
        self.clock.advance(2)
        self.assertEqual(self.get("/admin/health", f"Cookie: {cookie}").status, 401)

    def test_a_session_ends_with_its_token(self) -> None:
        cookie = self.login()
        self.operations.gateway = Gateway(admin_token=Secret("another"))
        self.assertEqual(self.get("/admin/health", f"Cookie: {cookie}").status, 401)

    def test_the_oldest_of_too_many_sessions_ends(self) -> None:
        first, *_, last = [self.login() for _ in range(LIMIT + 1)]
        self.assertEqual(self.get("/admin/health", f"Cookie: {first}").status, 401)
        self.assertEqual(self.get("/admin/health", f"Cookie: {last}").status, 200)

    def test_a_wrong_token_opens_no_session(self) -> None:
        for body in (b'{"token":"wrong"}', b'{"token":""}', '{"token":"ä"}'.encode()):
            answer = self.post("/admin/login", body=body)
            self.assertEqual(answer.status, 401)
            self.assertNotIn("set-cookie", answer.headers)

    def test_a_body_that_is_no_login_gets_words(self) -> None:
        for body in (b"", b"token", b'{"token":1}', b"[]", b"\xff"):
            self.assertEqual(self.post("/admin/login", body=body).status, 400)

    def test_a_foreign_page_cannot_log_in(self) -> None:
        answer = self.post("/admin/login", "Origin: https://evil.example", body=b'{"token":"correct horse"}')
        self.assertEqual(answer.status, 403)

    def test_without_a_token_there_is_nothing_to_log_in_to(self) -> None:
        self.operations.gateway = Gateway()
        answer = self.post("/admin/login", body=b'{"token":"x"}')
        self.assertEqual(answer.status, 400)
        self.assertIsNone(re.search("set-cookie", str(answer.headers)))

    def test_no_answer_shows_the_token(self) -> None:
        for answer in (self.get("/admin/health"), self.post("/admin/login", body=b'{"token":"wrong"}')):
            self.assertNotIn(TOKEN.encode(), answer.body)
