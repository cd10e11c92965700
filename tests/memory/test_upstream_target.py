"""A backend made ready: whole paths, fixed headers, one key, nothing that ends its line."""

import pytest

from lmgw.config.snapshot import Backend, Provider
from lmgw.errors import ConfigError
from lmgw.secret import Secret
from lmgw.upstream.target import BackendTarget
from lmgw.version import VERSION

KEY = "sk-canary-0123456789"


def prepare(**settings: object) -> BackendTarget:
    return BackendTarget.prepare(Backend(**{"name": "b", "base_url": "http://host", **settings}))  # type: ignore[arg-type]


def lines(target: BackendTarget) -> dict[str, str]:
    """The head of a request as a dict, names as sent."""
    head = target.head(b"POST", "/chat/completions", (), 2).decode()
    assert head.endswith("\r\n\r\n")
    return dict(line.split(": ", 1) for line in head.rstrip().split("\r\n")[1:])


def test_a_request_carries_what_is_needed_and_nothing_else() -> None:
    assert lines(prepare(api_key=Secret(KEY))) == {
        "Host": "host",
        "User-Agent": f"lmgw/{VERSION}",
        "Accept": "application/json, text/event-stream, */*;q=0.1",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Authorization": f"Bearer {KEY}",
        "Content-Length": "2",
    }


@pytest.mark.parametrize("provider", list(Provider))
def test_each_provider_gets_its_key_in_one_way_only(provider: Provider) -> None:
    sent = {name.lower() for name in lines(prepare(provider=provider, api_key=Secret(KEY)))}
    assert ("x-api-key" in sent) == (provider is Provider.ANTHROPIC)
    assert ("authorization" in sent) == (provider is not Provider.ANTHROPIC)


def test_without_a_key_there_is_no_auth() -> None:
    assert not {"Authorization", "x-api-key"} & set(lines(prepare()))


@pytest.mark.parametrize(
    ("settings", "path", "whole"),
    [
        ({}, "/chat/completions", "/v1/chat/completions"),
        ({"base_url": "http://host/proxy"}, "/models", "/proxy/v1/models"),
        ({"base_url": "http://host/v1", "api_path": ""}, "/models", "/v1/models"),
        ({"api_path": "/v1beta/openai"}, "/models", "/v1beta/openai/models"),
        ({"provider": Provider.OLLAMA}, "/api/chat", "/api/chat"),
        ({"provider": Provider.OLLAMA}, "/embeddings", "/v1/embeddings"),
        ({"provider": Provider.OLLAMA, "base_url": "http://host/v1", "api_path": ""}, "/api/chat", "/api/chat"),
        ({"provider": Provider.OLLAMA, "base_url": "http://host/sub", "api_path": "/x"}, "/api/chat", "/sub/api/chat"),
        ({"provider": Provider.ANTHROPIC}, "/messages", "/v1/messages"),
    ],
)
def test_paths_stand_below_the_api_path_but_ollamas_own(settings: dict, path: str, whole: str) -> None:
    target = prepare(**settings)
    assert target.path(path) == whole
    assert target.head(b"POST", path, (), 0).startswith(f"POST {whole} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    ("base_url", "host", "address", "url"),
    [
        ("http://host", "host", "host:80", "http://host/v1/models"),
        ("http://host:80", "host", "host:80", "http://host/v1/models"),
        ("https://host:8443", "host:8443", "host:8443", "https://host:8443/v1/models"),
        ("https://HOST", "host", "host:443", "https://host/v1/models"),
        ("http://[::1]:11434", "[::1]:11434", "[::1]:11434", "http://[::1]:11434/v1/models"),
    ],
)
def test_the_port_is_named_where_it_is_not_the_schemes_own(base_url: str, host: str, address: str, url: str) -> None:
    target = prepare(base_url=base_url)
    assert (lines(target)["Host"], target.address, target.url("/models")) == (host, address, url)


def test_openrouter_learns_who_is_asking_and_nobody_else_does() -> None:
    app = {"app_url": "https://example.org", "app_title": "Café"}
    head = prepare(provider=Provider.OPENROUTER, **app).head(b"POST", "/x", (), 0)
    assert b"HTTP-Referer: https://example.org\r\n" in head
    assert "X-Title: Café\r\n".encode() in head
    assert b"Referer" not in prepare(**app).head(b"POST", "/x", (), 0)
    assert b"Referer" not in prepare(provider=Provider.OPENROUTER).head(b"POST", "/x", (), 0)


def test_the_backends_own_headers_win_over_the_defaults() -> None:
    sent = lines(prepare(headers={"user-agent": "mine/1", "X-Org": "a"}))
    assert sent["user-agent"] == "mine/1"
    assert "User-Agent" not in sent
    assert sent["X-Org"] == "a"


def test_a_requests_own_headers_follow() -> None:
    head = prepare().head(b"POST", "/x", [(b"X-Request-ID", b"7"), (b"anthropic-beta", b"a,b")], 5)
    assert head.endswith(b"X-Request-ID: 7\r\nanthropic-beta: a,b\r\nContent-Length: 5\r\n\r\n")


@pytest.mark.parametrize("value", [b"a\r\nX-Evil: 1", b"a\nb", b"a\rb", b"\r\n"])
def test_a_header_that_ends_its_line_is_never_sent(value: bytes) -> None:
    with pytest.raises(ValueError, match="line break"):
        prepare().head(b"POST", "/x", [(b"X-Request-ID", value)], 0)
    with pytest.raises(ValueError, match="line break"):
        prepare().head(b"POST", "/x", [(b"X" + value, b"1")], 0)


@pytest.mark.parametrize("path", ["x", "", "/a b", "/a\r\nb", "/é", "/a\x00"])
def test_a_path_that_ends_its_line_is_never_sent(path: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        prepare(base_url="http://host" if path else "", api_path="").head(b"GET", path, (), 0)


def test_a_key_that_cannot_be_sent_is_refused_by_its_variables_name_only() -> None:
    with pytest.raises(ConfigError) as refused:
        prepare(api_key=Secret(KEY + "\r\n"), api_key_env="B_KEY")
    assert "B_KEY" in str(refused.value)
    assert KEY not in str(refused.value)


def test_a_header_that_cannot_be_sent_is_refused_at_load() -> None:
    with pytest.raises(ConfigError, match="X-Org"):
        prepare(headers={"X-Org": "a\nb"})


def test_the_key_is_in_no_repr() -> None:
    assert KEY not in repr(prepare(api_key=Secret(KEY)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "no PEM certificate in it"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
    ],
)
def test_a_ca_file_that_is_none_is_refused_by_name(tmp_path, content: bytes | None, words: str) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as refused:
        prepare(base_url="https://host", ca_file=str(path))
    assert str(refused.value).startswith("backends.b.ca_file: ")


def test_the_same_backend_has_the_same_key_and_a_moved_one_another() -> None:
    assert prepare().key == prepare(timeout_ms=1, max_connections=3).key
    others = [prepare(name="c"), prepare(base_url="http://other"), prepare(base_url="http://host:81")]
    assert len({target.key for target in [prepare(), *others]}) == 4


def test_the_demo_needs_no_address() -> None:
    assert BackendTarget.prepare(Backend("demo", Provider.DEMO)).provider is Provider.DEMO
