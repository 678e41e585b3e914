"""Decoding of compressed bodies, piece by piece: gzip in one or several members, and deflate.

Belongs here: what httpx does not read, see `GzipDecoder` in httpx 0.28, which drops all members but the first. Not here:
the bounds of a body (`transport.py`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import httpx

MAX_PIECE_BYTES = 2**20
"""Bytes of one decoded piece: a small piece of a body may hold a thousand times its size."""
_INPUT_BYTES = 2**14
"""Bytes that are decoded at a time: after each member the rest of them is copied."""
GZIP_MAGIC = b"\x1f\x8b"
"""The first bytes of a member of gzip."""
_GZIP_WBITS = zlib.MAX_WBITS | 16


def parse_encoding(header: str) -> str:
    """Return the one encoding of a `Content-Encoding`, in lower case; empty for none.

    Raises:
        httpx.DecodingError: there are several: a small body could hold far too much.
    """
    names = [name for name in (one.strip().lower() for one in header.split(",")) if name not in {"", "identity"}]
    if len(names) > 1:
        raise httpx.DecodingError("compressed more than once")
    name = names[0] if names else ""
    return name.removeprefix("x-") if name == "x-gzip" else name


def decode_pieces(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the decoded body of `gzip` or `deflate` in pieces of at most `MAX_PIECE_BYTES`, empty ones too.

    Raises:
        httpx.DecodingError: the body is damaged, or cut short.
    """
    small = (piece[start : start + _INPUT_BYTES] for piece in pieces for start in range(0, len(piece), _INPUT_BYTES))
    try:
        yield from (_decode_gzip(small) if encoding == "gzip" else _decode_deflate(small))
    except zlib.error:
        raise httpx.DecodingError("damaged") from None


def decode_gzip(body: bytes, size: int) -> bytes:
    """Return a body in gzip that was decoded before, to this size.

    Raises:
        httpx.DecodingError: it is damaged, or has another size.
    """
    decoded = bytearray()
    for piece in decode_pieces([body], "gzip"):
        decoded += piece
        if len(decoded) > size:
            break
    if len(decoded) != size:
        raise httpx.DecodingError("of another size")
    return bytes(decoded)


def _decode_gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decode members of gzip one after another, see RFC 1952, 2.2; zeros and garbage after a member are no data.

    Other readers (gzip, Node.js, urllib3) do the same. A member that is cut short is an error.
    """
    member, is_first, rest = zlib.decompressobj(_GZIP_WBITS), True, b""
    is_open = False
    for piece in pieces:
        rest += piece
        yield b""  # so that the caller sees the time pass, and can count what holds no data
        while rest:
            if not is_open and not is_first:
                rest = rest.lstrip(b"\0")
                if not rest.startswith(GZIP_MAGIC):
                    if rest and rest != GZIP_MAGIC[:1]:
                        return
                    break
                member = zlib.decompressobj(_GZIP_WBITS)
            is_open, is_first = True, False
            yield member.decompress(rest, MAX_PIECE_BYTES)
            is_open = not member.eof
            rest = member.unused_data if member.eof else member.unconsumed_tail
    if is_open:
        yield from _finish(member)


def _decode_deflate(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decode deflate with the header of zlib, as RFC 9110, 8.4.1.2, demands, or without it, as some servers send it."""
    decoder, rest = None, b""
    for piece in pieces:
        rest += piece
        if decoder is None:
            if len(rest) < 2:
                continue
            has_header = rest[0] & 0x0F == zlib.DEFLATED and int.from_bytes(rest[:2]) % 31 == 0
            decoder = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        while rest and not decoder.eof:
            yield decoder.decompress(rest, MAX_PIECE_BYTES)
            rest = decoder.unconsumed_tail
    if decoder is not None:
        yield from _finish(decoder)
    elif rest:
        raise httpx.DecodingError("cut short")


def _finish(decoder: zlib._Decompress) -> Iterator[bytes]:
    """Yield what the decoder still holds back.

    Raises:
        httpx.DecodingError: the end of the stream is missing.
    """
    while not decoder.eof:
        piece = decoder.decompress(b"", MAX_PIECE_BYTES)
        if not piece:
            raise httpx.DecodingError("cut short")
        yield piece
