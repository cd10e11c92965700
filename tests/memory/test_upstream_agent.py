"""treq's API on our client: probes and lists, without cookies, redirects or other addresses."""

import treq
from treq.testing import RequestTraversalAgent, StringStubbingResource, StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed
from upstream_rig import CHUNKED, Rig, result, waiting

from lmgw.config.snapshot import Backend, Provider
from lmgw.secret import Secret
from lmgw.upstream.agent import CALL_TIMERS, AttemptFailed
from lmgw.upstream.client import RelayClient
from lmgw.upstream.probe import LIMIT_S, ProbeResult, probe
from lmgw.upstream.target import BackendTarget

URL = "http://192.0.2.1/v1/models"


class AgentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig()

    def test_a_get_is_sent_with_what_was_given_and_nothing_of_treqs_own(self) -> None:
        self.rig.client.get(URL, headers={"X-Mine": "1"})
        lines = self.rig.accept().value().split(b"\r\n")
        self.assertEqual(lines[0], b"GET /v1/models HTTP/1.1")
        self.assertEqual(
            set(lines[1:-2]), {b"X-Mine: 1", b"Host: 192.0.2.1", b"Accept-Encoding: identity", b"Content-Length: 0"}
        )

    def test_treq_reads_the_answer(self) -> None:
        answer = self.rig.client.get(URL)
        transport = self.rig.accept()
        transport.protocol.dataReceived(CHUNKED + b'7\r\n{"a":1}\r\n')
        response = result(answer)
        self.assertEqual(response.code, 200)
        self.assertEqual(response.headers.getRawHeaders("transfer-encoding"), ["chunked"])
        body = treq.json_content(response)
        self.assertTrue(waiting(body))
        transport.protocol.dataReceived(b"0\r\n\r\n")
        self.assertEqual(result(body), {"a": 1})
        self.assertEqual(self.rig.pool.figures().idle, 1)

    def test_an_empty_answer_frees_its_connection(self) -> None:
        answer = self.rig.client.get(URL)
        self.rig.accept().protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(result(treq.content(result(answer))), b"")
        self.assertEqual(self.rig.pool.figures().idle, 1)

    def test_head_has_no_body(self) -> None:
        answer = self.rig.client.head(URL)
        self.rig.accept().protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        self.assertEqual(result(treq.content(result(answer))), b"")

    def test_a_broken_body_fails(self) -> None:
        answer = self.rig.client.get(URL)
        transport = self.rig.accept()
        transport.protocol.dataReceived(CHUNKED + b"7\r\n")
        body = treq.content(result(answer))
        transport.lose(ConnectionDone())
        self.failureResultOf(body, ResponseFailed)

    def test_a_refused_connection_fails_with_the_fault(self) -> None:
        answer = self.rig.client.get(URL)
        self.rig.refuse()
        self.assertIn("refused", self.failureResultOf(answer, AttemptFailed).value.fault.detail)

    def test_redirects_are_never_followed(self) -> None:
        answer = self.rig.client.get(URL, allow_redirects=True)
        redirect = b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/evil\r\nContent-Length: 0\r\n\r\n"
        self.rig.accept().protocol.dataReceived(redirect)
        self.assertEqual(result(answer).code, 302)
        self.assertEqual(self.rig.dialled, 0)

    def test_no_cookie_is_ever_sent_back(self) -> None:
        answer = self.rig.client.get(URL)
        transport = self.rig.accept()
        cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=one; Path=/\r\nContent-Length: 0\r\n\r\n"
        transport.protocol.dataReceived(cookie)
        result(answer)
        transport.clear()
        self.rig.client.get(URL)
        self.assertNotIn(b"cookie", transport.value().lower())
        self.assertTrue(transport.value())

    def test_other_addresses_are_not_called(self) -> None:
        answer = self.rig.client.get("http://192.0.2.99/")
        self.assertIn("http://192.0.2.99", self.failureResultOf(answer, AttemptFailed).value.fault.detail)
        self.assertEqual(self.rig.dialled, 0)

    def test_an_answer_that_nobody_reads_does_not_keep_its_connection_for_ever(self) -> None:
        self.rig.client.get(URL)
        transport = self.rig.accept()
        transport.protocol.dataReceived(CHUNKED)
        self.rig.reactor.advance(CALL_TIMERS.total_s)
        self.assertTrue(transport.aborting)

    def test_treqs_stub_agent_works_under_the_client(self) -> None:
        resource = StringStubbingResource(lambda *_: (200, {"Set-Cookie": "a=b"}, b"hello"))
        client = RelayClient(RequestTraversalAgent(resource), self.rig.reactor, self.rig.pools)
        response = result(client.get("http://anywhere/"))
        self.assertEqual(result(treq.content(response)), b"hello")


class ProbeTests(SynchronousTestCase):
    def probe(self, status: int = 200, **settings: object) -> tuple[ProbeResult, list[tuple[str, dict]]]:
        """Probe a stubbed backend; return the result and the requests that it took."""
        asked = []

        def answer(method, url, params, headers, data):
            asked.append((f"{method.decode()} {url}", headers))
            return status, {}, b"{}"

        backend = Backend(**{"name": "b", "base_url": "http://host", **settings})
        client = StubTreq(StringStubbingResource(answer))
        found = probe(client, BackendTarget.prepare(backend), backend, Rig().reactor)
        return result(Deferred.fromCoroutine(found)), asked

    def test_each_dialect_is_asked_for_what_costs_nothing(self) -> None:
        for provider, route in {
            Provider.OPENAI: "GET http://host/v1/models",
            Provider.OPENROUTER: "GET http://host/v1/models",
            Provider.ANTHROPIC: "GET http://host/v1/models",
            Provider.OLLAMA: "GET http://host/api/version",
        }.items():
            found, [(asked, _)] = self.probe(provider=provider)
            self.assertEqual((found.ok, found.status, asked), (True, 200, route))

    def test_anthropic_gets_its_key_and_version(self) -> None:
        _, [(_, headers)] = self.probe(provider=Provider.ANTHROPIC, api_key=Secret("k"), api_key_env="K")
        self.assertEqual(headers[b"X-Api-Key"], [b"k"])
        self.assertEqual(headers[b"Anthropic-Version"], [b"2023-06-01"])

    def test_the_demo_is_always_there(self) -> None:
        found, asked = self.probe(provider=Provider.DEMO, base_url="")
        self.assertTrue(found.ok)
        self.assertEqual(asked, [])

    def test_a_backend_without_its_key_is_not_called(self) -> None:
        found, asked = self.probe(api_key_env="B_KEY")
        self.assertEqual((found.ok, found.words, asked), (False, "B_KEY is not set: not called", []))

    def test_a_refused_key_names_the_variable(self) -> None:
        found, _ = self.probe(401, api_key=Secret("k"), api_key_env="B_KEY")
        self.assertEqual((found.ok, found.status, found.words), (False, 401, "refuses the key in B_KEY: status 401"))
        self.assertIn("api_key_env", self.probe(401)[0].words)

    def test_a_missing_route_points_to_the_address(self) -> None:
        self.assertIn("base_url", self.probe(404)[0].words)

    def test_any_other_status_is_told(self) -> None:
        found, _ = self.probe(500)
        self.assertEqual((found.ok, found.words), (False, "answers with status 500"))

    def test_silence_ends_within_the_limit(self) -> None:
        rig = Rig()
        backend = Backend(name="ollama", base_url="http://192.0.2.1")
        found = Deferred.fromCoroutine(probe(rig.client, rig.target, backend, rig.reactor))
        rig.accept()
        rig.reactor.advance(LIMIT_S)
        answer = result(found)
        self.assertEqual((answer.ok, answer.latency_ms), (False, 5_000.0))
        self.assertIn("no answer within 5,000 ms", answer.words)

    def test_an_unreachable_backend_is_told_in_words(self) -> None:
        rig = Rig()
        backend = Backend(name="ollama", base_url="http://192.0.2.1")
        found = Deferred.fromCoroutine(probe(rig.client, rig.target, backend, rig.reactor))
        rig.refuse()
        self.assertEqual(result(found).words, 'backend "ollama": connection refused at 192.0.2.1:80')
