"""An HTTP connection that no slow client can hold for long."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_SEND_SECONDS = 20.0  # for the head of a request, and for the rest of a body after its answer
_TAKE_SECONDS = 60.0  # for an answer that is larger than the buffers of the connection


class ImpatientProtocol(H11Protocol):
    """A connection that ends if its client is slow.

    20 s for the head of a request, from its first byte or the opening of the connection; as long for the rest of a body that
    was refused before its end; 60 s to take an answer. (`bodies.py` limits a body that is waited for.)
    """

    _late: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn says so too
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Take bytes; as long as they are part of a head, or of a refused body, time runs."""
        super().data_received(data)
        if self._is_owed():
            self._expect()
        elif self._late is not None:
            self._late.cancel()
            self._late = None

    def on_response_complete(self) -> None:
        """Wait for the rest of the body, if there is one."""
        super().on_response_complete()
        if self._is_owed():
            self._expect()

    def pause_writing(self) -> None:
        """Give the client some time to take what fills the buffer."""
        super().pause_writing()
        self._stuck = self.loop.call_later(_TAKE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on once it has."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        for timer in (self._late, self._stuck):
            if timer is not None:
                timer.cancel()

    def _is_owed(self) -> bool:
        """True if the client has begun a head, or has not sent all of a body that is answered already."""
        if self.conn.their_state is h11.IDLE:
            return bool(self.conn.trailing_data[0])
        return self.conn.their_state is h11.SEND_BODY and self.cycle is not None and self.cycle.response_complete

    def _expect(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(_SEND_SECONDS, self.transport.close)
