"""Who may come in: tables over Host, Origin and addresses."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from lmgw.web import guard
from lmgw.web.answers import request_id


@pytest.mark.parametrize(
    "origin",
    [
        b"http://localhost",
        b"http://localhost:3000",
        b"HTTPS://LOCALHOST",
        b"http://app.localhost:3000",
        b"http://127.0.0.1:5173",
        b"http://127.8.9.1",
        b"http://[::1]:3000",
        b"app://obsidian.md",
        b"file://",
        b"tauri://localhost",
        b"vscode-webview://abc",
        b"chrome-extension://abcdef",
        b"moz-extension://0-1",
        b"https://chat.example.com",
        b"https://CHAT.example.com",
    ],
)
def test_these_pages_may_use_the_client_port(origin: bytes) -> None:
    assert guard.origin_allowed(origin, ["https://chat.example.com/"])


@pytest.mark.parametrize(
    "origin",
    [
        b"null",
        b"",
        b"https://evil.example",
        b"https://chat.example.com.evil.example",
        b"http://chat.example.com",
        b"https://chat.example.com:8443",
        b"http://localhost.evil.example",
        b"http://127.0.0.1.evil.example",
        b"http://evil.example/localhost",
        b"http://localhost@evil.example",
        b"http://192.168.1.5",
        b"http://10.0.0.1",
        b"javascript://localhost",
        b"http://[::1",
        b"http://\xe4",
    ],
)
def test_these_pages_may_not(origin: bytes) -> None:
    assert not guard.origin_allowed(origin, ["https://chat.example.com"])


def test_any_origin_may_be_allowed() -> None:
    assert guard.origin_allowed(b"https://evil.example", ["*"])
    assert guard.origin_allowed(b"null", ["null"])


def test_a_preflight_is_told_what_it_asked_for() -> None:
    assert dict(
        guard.preflight(
            {
                b"access-control-request-headers": b"authorization,content-type, x-lmg-expert",
                b"access-control-request-private-network": b"true",
            }
        )
    ) == {
        b"Access-Control-Allow-Methods": b"GET, HEAD, POST, OPTIONS",
        b"Access-Control-Allow-Headers": b"authorization,content-type, x-lmg-expert",
        b"Access-Control-Allow-Private-Network": b"true",
        b"Access-Control-Max-Age": b"600",
    }


def test_a_preflight_gets_back_only_names_of_headers() -> None:
    allowed = dict(guard.preflight({b"access-control-request-headers": b"a: b"}))
    assert b"Access-Control-Allow-Headers" not in allowed


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", None, ("192.0.2.1", False)),
        ("192.0.2.1", b"203.0.113.9", ("192.0.2.1", False)),
        ("10.0.0.1", None, ("10.0.0.1", True)),
        ("10.0.0.1", b"203.0.113.9", ("203.0.113.9", True)),
        ("10.0.0.1", b"6.6.6.6, 203.0.113.9", ("203.0.113.9", True)),
        ("10.0.0.1", b"6.6.6.6, 203.0.113.9, 10.0.0.2", ("203.0.113.9", True)),
        ("10.0.0.1", b"10.0.0.3,10.0.0.2", ("10.0.0.3", True)),
        ("10.0.0.1", b"203.0.113.9:4711", ("203.0.113.9", True)),
        ("10.0.0.1", b"2001:DB8::9", ("2001:db8::9", True)),
        ("10.0.0.1", b"[2001:db8::9]:4711", ("2001:db8::9", True)),
        ("10.0.0.1", b"::ffff:203.0.113.9", ("203.0.113.9", True)),
        ("10.0.0.1", b"203.0.113.9, unknown", ("10.0.0.1", True)),
        ("10.0.0.1", b"<script>", ("10.0.0.1", True)),
        ("fd00::1", b"203.0.113.9", ("203.0.113.9", True)),
        ("", b"203.0.113.9", ("", False)),
    ],
)
def test_a_proxy_names_the_client(peer: str, forwarded: bytes | None, client: tuple[str, bool]) -> None:
    assert guard.client_address(peer, forwarded, ("10.0.0.0/8", "fd00::1/64")) == client


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (IPv4Address("TCP", "192.0.2.1", 1), "192.0.2.1"),
        (IPv6Address("TCP", "2001:db8::1", 1), "2001:db8::1"),
        (IPv6Address("TCP", "::ffff:192.0.2.1", 1), "192.0.2.1"),
        (UNIXAddress(b"/run/lmgw.sock"), "127.0.0.1"),
    ],
)
def test_an_address_is_shown_plainly(address: object, text: str) -> None:
    assert guard.plain_address(address) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (b"localhost:8081", True),
        (b"LocalHost", True),
        (b"localhost.", True),
        (b"127.0.0.1:8081", True),
        (b"192.168.1.7", True),
        (b"[::1]:8081", True),
        (b"gw.lan:8081", True),
        (b"GW.LAN", True),
        (b"evil.example", False),
        (b"localhost.evil.example", False),
        (b"127.0.0.1.evil.example", False),
        (b"", False),
    ],
)
def test_a_rebound_name_does_not_open_the_admin_port(host: bytes, allowed: bool) -> None:
    assert guard.admin_host_allowed(host, ["gw.lan"]) is allowed


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        (b"http://127.0.0.1:8081", True),
        (b"https://127.0.0.1:8081", True),
        (b"http://127.0.0.1:8080", False),
        (b"null", False),
        (b"http://", False),
        (b"app://127.0.0.1:8081", False),
    ],
)
def test_a_page_of_this_server_is_known(origin: bytes, own: bool) -> None:
    assert guard.is_own_origin(origin, b"127.0.0.1:8081") is own


@pytest.mark.parametrize("asked", [b"a", b"0" * 128, b"trace/1:2;x=~"])
def test_a_good_request_id_is_kept(asked: bytes) -> None:
    assert request_id(asked) == asked.decode()


@pytest.mark.parametrize("asked", [None, b"", b"0" * 129, b"a b", b"\xc3\xa4", b"a\tb", b"\x7f"])
def test_any_other_request_id_is_replaced(asked: bytes | None) -> None:
    first, second = request_id(asked), request_id(asked)
    assert first.startswith("req_")
    assert first != second
