"""Media types of images, told from their first bytes."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error

#: What an image of each type begins with.
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)


def sniff_image(data: str) -> str | None:
    """Return the media type of a base64 image by its magic bytes; only the first 16 characters are decoded."""
    try:
        head = b64decode(data[:16])
    except (Error, ValueError):
        return None
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return "image/webp"
    return next((media_type for magic, media_type in _MAGIC if head.startswith(magic)), None)
