"""An HTTP server on loopback that speaks the chat-completions protocol as far as tests need it, and may misbehave."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Response(NamedTuple):
    """What goes back: a status, headers and a body, byte by byte where there are seconds of pause between them.

    Status 0 closes the connection without a word.
    """

    status: int
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()
    pause: float = 0.0


class Request(NamedTuple):
    """What came: the parsed body and the headers, and how many had come before."""

    body: dict[str, Any]
    headers: dict[str, str]
    number: int

    @property
    def report(self) -> str:
        """The report asked about: what the user says after the examples, a correction aside."""
        messages = self.body["messages"]
        return messages[-3 if self.corrected else -1]["content"]

    @property
    def corrected(self) -> bool:
        """Whether an invalid answer is asked for again."""
        return "That is no JSON" in self.body["messages"][-1]["content"]


class ChatServer(ThreadingHTTPServer):
    """Keeps every request it got."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, respond: Callable[[Request], Response]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.respond, self.requests, self.lock = respond, [], threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def reports(self) -> list[str]:
        return [request.report for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            request = Request(body, {k.lower(): v for k, v in self.headers.items()}, len(self.server.requests))
            self.server.requests.append(request)
        response = self.server.respond(request) if self.path == "/v1/chat/completions" else Response(404)
        if not response.status:
            self.close_connection = True
            return
        self.send_response(response.status)
        for name, value in (("Content-Type", "application/json"), *response.headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if response.pause:
            self.dribble(response)
        else:
            self.wfile.write(response.body)

    def dribble(self, response: Response) -> None:
        with suppress(OSError):  # the client is gone
            for byte in response.body:
                self.wfile.write(bytes([byte]))
                time.sleep(response.pause)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(respond: Callable[[Request], Response]) -> Iterator[ChatServer]:
    server = ChatServer(respond)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def completion(content: str | None) -> Response:
    """A chat completion of 100 tokens for the prompt and 10 for the answer."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return Response(200, json.dumps(whole).encode())


def entities(*found: dict[str, Any]) -> Response:
    """A completion with these entities; fields that are not given are null or false."""
    default = {"severity": None, "location": None, "category": None, "negated": False, "uncertain": False}
    return completion(json.dumps({"entities": [default | entity for entity in found]}))
