"""Read the bodies of requests: bounded in bytes, in time and in sum, and decoded into one value for all shapes."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request

from lateint.serving.failures import Failure, Refused, invalid, overloaded, too_large
from lateint.serving.shapes.base import Body

_SECONDS = 20.0  # for a whole body
_LARGEST_AT_ONCE = 32  # bodies of the largest size that may be incomplete together
_DECODER = msgspec.json.Decoder(Body)


class BodyReader:
    """Reads bodies, many at once. Those that are not complete may hold 32 times the largest one in sum.

    Requests are counted by `Admission` once their bodies are there; without this bound, clients that send slowly could fill
    the memory before that.
    """

    def __init__(self, most: int) -> None:
        """Args: `most` bytes of one body."""
        self._most = most
        self.held = 0

    async def read(self, request: Request) -> bytes:
        """Return the bytes of a body.

        Raises: Refused for one that is too large (413) or slower than 20 s (408), or while others hold too much (429).
        """
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and (len(announced) > 18 or int(announced) > self._most):
            raise too_large(f"a body of {announced[:18]} bytes; expected at most {self._most}")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(_SECONDS):
                async for part in request.stream():
                    size += len(part)
                    self.held += len(part)
                    self._check(size)
                    parts.append(part)
        except TimeoutError as error:
            raise Refused(Failure(408, "timeout", f"the body did not arrive within {_SECONDS:.0f} s")) from error
        finally:
            self.held -= size
        return b"".join(parts)

    def _check(self, size: int) -> None:
        if size > self._most:
            raise too_large(f"a body of more than {self._most} bytes")
        if self.held > _LARGEST_AT_ONCE * self._most:
            raise overloaded(f"bodies that other clients still send hold {self.held - size} bytes", 1)


def decode_body(body: bytes) -> Body:
    """Decode JSON. Raises: Refused for what is none, and for fields of a wrong type."""
    try:
        return _DECODER.decode(body)
    except RecursionError as error:
        raise invalid("the body is nested too deeply; expected an object with query and documents") from error
    except msgspec.ValidationError as error:
        raise invalid(f"the body does not fit: {error}") from error
    except ValueError as error:  # malformed JSON or UTF-8
        raise invalid(f"the body is no JSON: {error}") from error
