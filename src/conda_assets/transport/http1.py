"""HTTP/1.1 as far as small files need it: the bytes of a request, and what the header of an answer has to say."""

from __future__ import annotations

__all__ = ["END", "HEADER_BYTES", "Unusual", "is_last", "request_of", "rest_of_requests"]

#: Headers of a plain answer are a few hundred bytes; who sends more is asked the ordinary way.
HEADER_BYTES = 32 << 10
#: Of a header.
END = b"\r\n\r\n"
_ANSWER = (b"HTTP/1.1 ", b"HTTP/1.0 ")


class Unusual(Exception):
    """Not what this takes. `alone`: of this file only, and not of its server."""

    def __init__(self, *, alone: bool = False) -> None:
        super().__init__()
        self.alone = alone


def rest_of_requests(origin: tuple[str, str, int], user_agent: str) -> bytes:
    """All of a request behind its first words."""
    scheme, name, port = origin
    place = f"[{name}]" if ":" in name else name
    if port != {"http": 80, "https": 443}[scheme]:
        place += f":{port}"
    lines = (" HTTP/1.1", f"Host: {place}", f"User-Agent: {user_agent}", "Accept: */*", "Accept-Encoding: identity")
    said = "\r\n".join(lines)
    # Empty where nothing can be asked.
    return said.encode("latin-1", "replace") + END if all(line.isprintable() for line in lines) else b""


def request_of(target: str, rest: bytes) -> bytes:
    """All of it. Raises ValueError for what would be read as more than a line."""
    if not rest or not target.isprintable():
        raise ValueError("a line break in a request")
    return b"GET " + target.encode("latin-1") + rest


def is_last(head: bytes, size: int) -> bool:
    """Whether the answer is the connection's last one. `head`: its header, without the empty line.

    Raises:
        Unusual: it is not a whole file of that size, plainly given.
    """
    first, *lines = head.split(b"\r\n")
    if not first.startswith(_ANSWER):
        raise Unusual
    status, last = first[9:12], first.startswith(_ANSWER[1])
    if status != b"200":
        raise Unusual(alone=status in (b"404", b"410"))
    length = None
    for each in lines:
        name, colon, value = each.partition(b":")
        name, value = name.lower(), value.strip()
        if not colon or name == b"transfer-encoding" or (name == b"content-length" and length not in (None, value)):
            raise Unusual
        if name == b"content-length":
            length = value
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise Unusual
        elif name == b"connection":
            last = last or value.lower() == b"close"
    if length is None or not length.isdigit() or int(length) != size:
        raise Unusual
    return last
