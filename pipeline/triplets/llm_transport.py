"""How requests travel to the `llm` source's endpoint: only to addresses that were checked, and not without end.

What may be sent where is the matter of `llm_server`.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ssl import SSLContext

import httpx2


class CheckedTransport(httpx2.HTTPTransport):
    """Connects to given addresses, whatever the name in a request would resolve to by now.

    A name that is resolved once to be checked and again to connect could lead elsewhere the second time. Certificates
    are still checked against the name.

    Args:
        addresses: of the only host that is asked, tried in this order.
        verify: for https.
        limits: on connections.
    """

    def __init__(self, addresses: Sequence[str], verify: SSLContext, limits: httpx2.Limits) -> None:
        super().__init__(verify=verify, limits=limits, trust_env=False)
        self._addresses = addresses

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to the first address that takes a connection."""
        *others, last = self._addresses
        for address in others:
            try:
                return super().handle_request(_to(address, request))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return super().handle_request(_to(last, request))


def _to(address: str, request: httpx2.Request) -> httpx2.Request:
    """The same request, whose header Host keeps the name, to an address."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


@dataclass(frozen=True)
class Deadline:
    """A hook on responses: a body must be whole within some seconds, however steadily it dribbles."""

    seconds: float

    def __call__(self, response: httpx2.Response) -> None:
        """Have the reading of a response raise ReadTimeout then."""
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Timed(response.stream, self.seconds)


class _Timed(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, seconds: float) -> None:
        self._stream, self._end = stream, time.monotonic() + seconds

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            if time.monotonic() > self._end:
                raise httpx2.ReadTimeout("The answer is not whole in time.")
            yield chunk

    def close(self) -> None:
        self._stream.close()
