"""Read the body of a request: bounded in bytes and time, and decoded into one value for all shapes."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request

from lateint.serving.failures import Failure, Refused, invalid, too_large
from lateint.serving.shapes.base import Body

_SECONDS = 20.0  # for a whole body
_DECODER = msgspec.json.Decoder(Body)


async def read_body(request: Request, most: int) -> bytes:
    """Return the bytes of a body. Raises: Refused for one over `most` bytes, or slower than 20 s."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > most):
        raise too_large(f"a body of {announced[:18]} bytes; expected at most {most}")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large(f"a body of more than {most} bytes")
                parts.append(part)
    except TimeoutError as error:
        raise Refused(Failure(408, "timeout", f"the body did not arrive within {_SECONDS:.0f} s")) from error
    return b"".join(parts)


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
