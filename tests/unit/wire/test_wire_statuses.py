"""One table says what a status is called in each dialect."""

from __future__ import annotations

import pytest

from lmgw.wire.names import fit_id, fit_name, short_names
from lmgw.wire.statuses import caller_status, names, status_of

NAMED = {
    400: ("invalid_request_error", "invalid_request_error", None),
    401: ("authentication_error", "invalid_request_error", "invalid_api_key"),
    402: ("billing_error", "insufficient_quota", "insufficient_quota"),
    403: ("permission_error", "permission_error", None),
    404: ("not_found_error", "invalid_request_error", "model_not_found"),
    409: ("conflict_error", "conflict_error", None),
    413: ("request_too_large", "invalid_request_error", None),
    418: ("invalid_request_error", "invalid_request_error", None),
    422: ("invalid_request_error", "invalid_request_error", None),
    429: ("rate_limit_error", "rate_limit_error", "rate_limit_exceeded"),
    500: ("api_error", "server_error", None),
    501: ("api_error", "server_error", None),
    502: ("api_error", "server_error", None),
    503: ("overloaded_error", "overloaded_error", None),
    504: ("timeout_error", "timeout_error", None),
    529: ("overloaded_error", "overloaded_error", None),
}


@pytest.mark.parametrize(("status", "expected"), NAMED.items())
def test_a_status_has_a_name_in_each_dialect(status: int, expected: tuple[str, str, str | None]) -> None:
    found = names(status)
    assert (found.anthropic, found.openai, found.openai_code) == expected


def test_only_anthropics_callers_are_told_529() -> None:
    statuses = [caller_status(529, dialect) for dialect in ("anthropic", "openai", "ollama", "ollama_generate")]
    assert statuses == [529, 503, 503, 503]
    assert caller_status(404, "openai") == 404


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((429, "server_error"), 429),
        (("503", None), 503),
        ((None, "overloaded_error"), 529),
        (("context_length_exceeded", "server_error"), 400),
        (("strange", "rate_limit_error"), 429),
        ((7, "strange"), 502),
        ((True, None), 502),
        ((), 502),
    ],
)
def test_an_error_inside_a_200_has_the_status_that_its_words_say(words: tuple[object, ...], status: int) -> None:
    assert status_of(*words) == status


def test_ids_that_fit_stay() -> None:
    assert fit_id("toolu_01:x", 40) == "toolu_01:x"
    assert fit_id("x" * 41, 40) == fit_id("x" * 41, 40) != fit_id("y" * 41, 40)
    assert len(fit_id("x" * 41, 40)) <= 40


def test_names_that_fit_stay_and_others_can_be_turned_back() -> None:
    assert fit_name("get_weather-2") == "get_weather-2"
    long, dotted = "x" * 65, "a.b"
    assert len(fit_name(long)) == 64
    assert short_names(["plain", long, dotted]) == {fit_name(long): long, fit_name(dotted): dotted}
