"""How many tokens a text has: an estimate that errs high, where no exact counter is installed."""

from __future__ import annotations

from typing import Protocol


class Estimator(Protocol):
    """Counts tokens; a text counted in slices may come to a little more than counted whole."""

    def count(self, text: str) -> int:
        """Return the tokens of ``text``."""


def _weights() -> bytes:
    """Hundredths of a token for each byte of UTF-8 text, a character's weight on its first byte.

    Fitted to ``o200k_base`` on prose, code, JSON, digests and base64, and on fifteen languages, so that with the fit's
    margin none of them comes out low: English prose and code are a quarter too high, Russian twice (other
    vocabularies know it less well).
    """
    weights = bytearray(256)  # the bytes that continue a character weigh nothing
    for byte in range(128):
        character = chr(byte)
        if character.islower():
            weights[byte] = 27
        elif character.isupper():
            weights[byte] = 95
        elif character.isdigit():
            weights[byte] = 80
        else:
            weights[byte] = 5 if byte <= 32 else 70
    for lead in range(0xC2, 0x100):
        if lead < 0xE0:  # Latin with marks, Greek, Cyrillic, Hebrew, Arabic
            weights[lead] = 75
        elif lead == 0xE0:  # Indic scripts, Thai
            weights[lead] = 80
        elif lead in (0xE1, 0xE2):  # rare scripts, symbols
            weights[lead] = 225
        elif lead < 0xF0:  # Chinese, Japanese, Korean
            weights[lead] = 110
        else:  # emoji
            weights[lead] = 250
    return bytes(weights)


class CalibratedEstimate:
    """Weighs every character by its kind: 100 million characters a second, whatever the text."""

    _WEIGHTS = _weights()

    def count(self, text: str) -> int:
        """Return about how many tokens ``text`` has, rather too many."""
        return -(-sum(text.encode("utf-8", "surrogatepass").translate(self._WEIGHTS)) // 100)
