"""The dashboard's files: served from memory, known by their tags, under a policy that lets nothing else in."""

from __future__ import annotations

import re
from importlib.resources import files

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from web_rig import Answer, Wire

from lmgw.config.snapshot import Gateway
from lmgw.secret import Secret
from lmgw.web.admin import admin_site

FOLDER = files("lmgw.web").joinpath("dashboard")


class Operations:
    """As much of the admin side as a page needs."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway


class PageTests(SynchronousTestCase):
    def get(self, target: str, *headers: str, gateway: Gateway | None = None, method: str = "GET") -> Answer:
        site = admin_site(Operations(gateway or Gateway()), Clock())  # type: ignore[arg-type]
        return Wire(site, local="127.0.0.1").get(target, *headers, "Host: 127.0.0.1:8081", method=method, body=b"")

    def test_every_file_is_served_as_what_it_is(self) -> None:
        kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
        for file in FOLDER.iterdir():
            answer = self.get(f"/dashboard/{file.name}")
            self.assertEqual((answer.status, answer.body), (200, file.read_bytes()), file.name)
            kind = kinds[file.name.rpartition(".")[2]]
            self.assertEqual(answer.headers["content-type"].partition(";")[0], kind)
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertEqual(self.get("/").body, FOLDER.joinpath("index.html").read_bytes())

    def test_the_policy_lets_nothing_in_but_the_gateways_own(self) -> None:
        policy = self.get("/").headers["content-security-policy"]
        self.assertEqual(policy, "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")

    def test_a_browser_that_has_a_file_is_told_so(self) -> None:
        tag = self.get("/dashboard/dashboard.js").headers["etag"]
        again = self.get("/dashboard/dashboard.js", f'If-None-Match: "other", {tag}')
        self.assertEqual((again.status, again.body), (304, b""))
        self.assertNotIn("content-length", again.headers)
        self.assertEqual(self.get("/dashboard/dashboard.css", f"If-None-Match: {tag}").status, 200)

    def test_the_page_needs_no_token_and_nothing_beside_it_is_let_out(self) -> None:
        closed = Gateway(admin_token=Secret("token"))
        self.assertEqual(self.get("/", gateway=closed).status, 200)
        self.assertEqual(self.get("/dashboard/store.js", gateway=closed).status, 200)
        self.assertEqual(self.get("/admin/health", gateway=closed).status, 401)
        for path in ("/dashboard/../admin/config", "/dashboard/%2e%2e/admin/config", "/dashboard/..%2fadmin%2fconfig"):
            self.assertEqual(self.get(path, gateway=closed).status, 404, path)

    def test_a_name_that_is_none_is_not_found(self) -> None:
        for name in ("nothing.js", "__init__.py", "..%2fadmin.py", "%2e%2e/page.py"):
            self.assertEqual(self.get(f"/dashboard/{name}").status, 404, name)

    def test_no_text_is_ever_made_into_html_and_no_address_is_foreign(self) -> None:
        for file in FOLDER.iterdir():
            source = file.read_text()
            self.assertNotRegex(source, r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function")
            foreign = set(re.findall(r"https?://[^\s\"'`$]+", source)) - {
                "http://www.w3.org/2000/svg",
                "http://localhost",
            }
            self.assertEqual(foreign, set(), file.name)
