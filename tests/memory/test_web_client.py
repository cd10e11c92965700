"""The client port's routes: what is asked of the engine, and what a lost caller is told."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from web_rig import FakeEngine, Wire, ask, hello, request

from lmgw.errors import GatewayError, RateLimited, Unauthorized, UnknownModel
from lmgw.gateway.inbound import Route
from lmgw.web.client import client_site


class ClientPortTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.engine = FakeEngine(cors_origins=("https://chat.example.com",))
        self.engine.reply = hello
        self.client = Wire(client_site(self.engine, self.clock))

    def refused(self, status: int, target: str, *headers: str, method: str = "GET") -> str:
        """Make a request that must be refused; return the words."""
        answer = self.client.get(target, *headers, method=method)
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertTrue(answer.headers["x-request-id"])
        self.assertNotIn(b"<", answer.body)
        return answer.message


class EngineRouteTests(ClientPortTestCase):
    def test_each_route_is_asked_of_the_engine(self) -> None:
        routes = {
            "/v1/chat/completions": Route.CHAT,
            "/v1/completions": Route.COMPLETIONS,
            "/v1/embeddings": Route.EMBEDDINGS,
            "/v1/messages": Route.MESSAGES,
            "/v1/messages/count_tokens": Route.COUNT_TOKENS,
            "/api/chat": Route.OLLAMA_CHAT,
            "/api/generate": Route.OLLAMA_GENERATE,
            "/api/embed": Route.OLLAMA_EMBED,
            "/api/embeddings": Route.OLLAMA_EMBEDDINGS,
        }
        for path, route in routes.items():
            self.assertEqual(self.client.send(ask(path=path)).answer().status, 200)
            self.assertIs(self.engine.inbound.route, route)

    def test_the_engine_gets_the_request_as_values(self) -> None:
        self.clock.advance(7)
        self.client.send(ask(b'{"a":1}', "X-Request-ID: abc", "Authorization: Bearer k"))
        inbound = self.engine.inbound
        self.assertEqual((inbound.request_id, inbound.body), ("abc", b'{"a":1}'))
        self.assertEqual((inbound.peer, inbound.proxied, inbound.received_at), ("192.0.2.1", False, 7.0))
        self.assertEqual(inbound.headers[b"authorization"], b"Bearer k")

    def test_a_trusted_proxy_is_looked_through(self) -> None:
        self.engine.configure(trusted_proxies=("192.0.2.0/24",))
        self.client.send(ask(b"{}", "X-Forwarded-For: 203.0.113.9"))
        self.assertEqual((self.engine.inbound.peer, self.engine.inbound.proxied), ("203.0.113.9", True))

    def test_a_query_is_ignored(self) -> None:
        self.assertEqual(self.client.send(ask(path="/v1/messages?beta=true")).answer().status, 200)

    def test_slashes_too_many_do_not_matter(self) -> None:
        for path in ("/v1/chat/completions/", "//v1//chat/completions", "/v1/chat/completions//?x"):
            self.assertEqual(self.client.send(ask(path=path)).answer().status, 200)

    def test_an_absolute_target_is_a_path_too(self) -> None:
        self.assertEqual(self.client.get("http://gw:8080/healthz?x=1").status, 200)
        self.assertEqual(self.client.get("HTTP://gw:8080").body, b"Ollama is running")

    def test_no_detour_leads_to_the_engine_by_another_way(self) -> None:
        self.engine.reply = None
        for line in ("post /v1/chat/completions", "POST /%2Fv1/chat/completions", "POST /v1%2Fchat/completions"):
            self.client.send(f"{line} HTTP/1.1\r\nHost: gw\r\n\r\n".encode())
            self.assertEqual(self.client.value(), b"", "nobody but the engine ends the answer")
            hello(self.engine.inbound, self.engine.sink)
            self.assertEqual(self.client.answer().status, 200)

    def test_an_encoded_path_is_the_same_path(self) -> None:
        self.assertEqual(self.client.get("/%68ealthz").status, 200)


class ListingTests(ClientPortTestCase):
    def test_models_are_listed_in_the_callers_dialect(self) -> None:
        self.assertEqual(self.client.get("/v1/models").json, {"kind": "models", "name": None, "dialect": "openai"})
        self.assertEqual(self.client.get("/v1/models", "anthropic-version: 2023-06-01").json["dialect"], "anthropic")

    def test_a_models_name_may_hold_anything(self) -> None:
        for target, name in {
            "/v1/models/local:fast": "local:fast",
            "/v1/models/meta/llama-3": "meta/llama-3",
            "/v1/models/meta%2Fllama-3": "meta/llama-3",
            "/v1/models/a%2F%2Fb": "a//b",
            "/v1/models/a%2F": "a/",
            "/v1/models/a%20b%00": "a b\x00",
            "/v1/models/../x": "../x",
            "/v1/models/%0A": "\n",
            "/v1/models/m%C3%A4h/": "mäh",
        }.items():
            self.assertEqual(self.client.get(target).json["name"], name)

    def test_ollamas_listings(self) -> None:
        for method, path, kind in [
            ("GET", "/api/version", "version"),
            ("GET", "/api/tags", "tags"),
            ("GET", "/api/ps", "ps"),
            ("POST", "/api/show", "show"),
            ("POST", "/api/pull", "pull"),
        ]:
            answer = self.client.get(path, method=method, body=b'{"name":"x"}' if method == "POST" else b"")
            self.assertEqual(answer.json, {"kind": kind, "name": None, "dialect": "ollama"})
        self.assertEqual(self.engine.listed[-1][2].body, b'{"name":"x"}')

    def test_an_error_of_a_listing_is_in_the_callers_dialect(self) -> None:
        self.engine.trouble = UnknownModel("No model x here.")
        self.assertEqual(self.refused(404, "/v1/models/x"), "No model x here.")
        answer = self.client.get("/v1/models/x", "anthropic-version: 2023-06-01")
        self.assertEqual((answer.status, answer.json["type"]), (404, "error"))
        self.assertEqual(self.client.get("/api/tags").json, {"error": "No model x here."})

    def test_an_errors_headers_are_sent(self) -> None:
        self.engine.trouble = Unauthorized("no key")
        self.assertEqual(self.client.get("/v1/models").headers["www-authenticate"], 'Bearer realm="lm-gateway"')
        self.engine.trouble = RateLimited("slow down", retry_after_s=3, scope="ip", limit=60)
        answer = self.client.get("/v1/models")
        self.assertEqual((answer.headers["retry-after"], answer.headers["x-ratelimit-policy"]), ("3", "60;w=60"))


class OwnRouteTests(ClientPortTestCase):
    def test_health(self) -> None:
        self.assertEqual(self.client.get("/healthz").json, {"status": "ok"})

    def test_ready_until_it_drains(self) -> None:
        self.assertEqual(self.client.get("/readyz").json, {"status": "ok"})
        self.engine.draining = True
        answer = self.client.get("/readyz")
        self.assertEqual((answer.status, answer.json), (503, {"status": "draining"}))

    def test_status(self) -> None:
        self.assertEqual(self.client.get("/status").json, {"status": "ok", "ready": True})

    def test_setup_says_what_to_do_and_names_nothing(self) -> None:
        answer = self.client.get("/setup")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/plain; charset=utf-8"))
        for words in (b"GET /admin/health", b"docker compose restart", b"systemctl restart lmgw"):
            self.assertIn(words, answer.body)
        for name in (b"ANTHROPIC", b"OPENAI", b"_KEY", b"http"):
            self.assertNotIn(name, answer.body)

    def test_the_root_answers_as_ollama_does(self) -> None:
        self.assertEqual(self.client.get("/").body, b"Ollama is running")
        answer = self.client.get("/", method="HEAD")
        self.assertEqual((answer.status, answer.headers["content-length"]), (200, "17"))

    def test_a_stored_response_is_refused_in_words(self) -> None:
        for method in ("GET", "DELETE"):
            self.assertIn("POST /v1/responses", self.refused(404, "/v1/responses/resp_1", method=method))


class LostCallerTests(ClientPortTestCase):
    def test_an_unknown_route_is_told_the_base_urls(self) -> None:
        self.assertEqual(
            self.refused(404, "/chat/completions?a=b", method="POST"),
            "no route POST /chat/completions: OpenAI clients use http://gw:8080/v1,"
            " Anthropic and Ollama clients http://gw:8080",
        )

    def test_without_a_host_the_base_url_is_our_address(self) -> None:
        self.client.send(b"GET /x HTTP/1.0\r\n\r\n")
        self.assertIn("http://192.0.2.9:8080/v1", self.client.answer().message)

    def test_an_error_is_in_the_dialect_of_the_path_however_that_is_written(self) -> None:
        for target in ("/v1/messages/x", "//v1//messages/x", "http://gw/v1/messages/x", "/v1/%6Dessages/x"):
            self.assertEqual(self.client.get(target).json["type"], "error", target)
        self.assertIsInstance(self.client.get("/api/x").json["error"], str)

    def test_a_wrong_method_is_told_the_right_one(self) -> None:
        answer = self.client.get("/v1/chat/completions")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST"))
        self.assertEqual(answer.message, "GET /v1/chat/completions: use POST")
        answer = self.client.get("/v1/models/x", method="DELETE")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))

    def test_methods_that_nobody_knows(self) -> None:
        for method in ("BREW", "TRACE", "OPTIONS", "PROPFIND", "A" * 3000):
            self.refused(405, "/healthz", method=method)
            self.refused(404, "/nowhere", method=method)

    def test_a_methods_case_does_not_matter(self) -> None:
        self.client.send(b"head /healthz HTTP/1.1\r\nHost: gw\r\n\r\n")
        answer = self.client.answer(head=True)
        self.assertEqual((answer.status, answer.headers["content-length"]), (200, "15"))

    def test_connect_is_refused(self) -> None:
        answer = self.client.get("example.com:443", method="CONNECT")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD, POST"))

    def test_options_for_everything(self) -> None:
        answer = self.client.get("*", method="OPTIONS")
        self.assertEqual((answer.status, answer.headers["allow"], answer.body), (204, "GET, HEAD, POST", b""))
        self.refused(405, "*")

    def test_strange_targets(self) -> None:
        for status, target in [
            (400, "healthz"),
            (400, "ftp://gw/healthz"),
            (400, "/%ff"),
            (400, "/v1/models/%C3"),
            (404, "/../etc/passwd"),
            (404, "/healthz/.."),
            (404, "/%00"),
            (404, "/healthz%0A"),
            (404, "/<script>alert(1)</script>"),
            (404, "/" + "a/" * 5000),
            (404, "/%"),
            (404, "/v1%2Fmodels%"),
            (404, "/v1%2F%2Fmodels"),
        ]:
            answer = self.client.get(target)
            self.assertEqual(answer.status, status, target)
            self.assertTrue(answer.message)

    def test_a_strange_host_upsets_nothing(self) -> None:
        for host in ("a" * 255, "xn--", "a..b", "-", ".", "1.2.3", "[::1]", "[1.2.3.4]:0", "_"):
            self.assertEqual(self.client.get("/v1/models/x", f"Host: {host}").status, 200, host)


class OriginTests(ClientPortTestCase):
    def test_a_foreign_page_is_refused_before_anything_is_asked(self) -> None:
        self.client.send(ask(b"{}", "Origin: https://evil.example"))
        answer = self.client.answer()
        self.assertEqual(answer.status, 403)
        self.assertIn("https://evil.example", answer.message)
        self.assertIn("cors_origins", answer.message)
        self.assertNotIn("access-control-allow-origin", answer.headers)
        self.assertEqual(self.engine.asked, [])

    def test_an_allowed_page_may_read_the_answer(self) -> None:
        for origin in ("https://chat.example.com", "http://localhost:3000"):
            answer = self.client.send(ask(b"{}", f"Origin: {origin}")).answer()
            self.assertEqual(answer.headers["access-control-allow-origin"], origin)
            self.assertEqual(answer.headers["vary"], "Origin")
            self.assertIn("X-LMG-Tier", answer.headers["access-control-expose-headers"])

    def test_an_allowed_page_may_read_errors_too(self) -> None:
        answer = self.client.get("/nowhere", "Origin: http://localhost:3000")
        self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (404, "http://localhost:3000"))

    def test_a_preflight_is_answered(self) -> None:
        answer = self.client.get(
            "/v1/chat/completions",
            "Origin: https://chat.example.com",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization, content-type",
            method="OPTIONS",
        )
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(answer.headers["access-control-allow-headers"], "authorization, content-type")
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://chat.example.com")

    def test_a_foreign_preflight_is_refused(self) -> None:
        words = self.refused(403, "/v1/models", "Origin: null", "Access-Control-Request-Method: GET", method="OPTIONS")
        self.assertIn("null", words)

    def test_a_reload_changes_who_may(self) -> None:
        self.engine.configure(cors_origins=("https://new.example",))
        self.assertEqual(self.client.get("/healthz", "Origin: https://new.example").status, 200)
        self.assertEqual(self.client.get("/healthz", "Origin: https://chat.example.com").status, 403)


class UnexpectedTests(ClientPortTestCase):
    def test_a_failing_listing_is_a_500_in_words_on_both_ways_to_it(self) -> None:
        self.engine.trouble = RuntimeError("detail")
        for target in ("/v1/models", "/v1/models/x"):
            self.assertIn("internal error", self.refused(500, target))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_a_gateway_error_of_the_engine_is_answered(self) -> None:
        self.engine.trouble = GatewayError("teapot", status=418)
        self.client.send(ask() + request("GET", "/healthz"))
        self.assertEqual([answer.status for answer in self.client.answers()], [418, 200])
