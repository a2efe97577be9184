"""What comes before a request is one."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api import protocol
from api.protocol import BoundedProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body, once it is whole."""
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    length = str(len(body)).encode()
    headers = [(b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            echo, http=BoundedProtocol, ws="none", lifespan="off", log_level="critical"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


@contextmanager
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        yield client


def received(client: socket.socket) -> bytes:
    """All until the server closes the connection."""
    parts = []
    while part := client.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("said", [b"", b"GET", REQUEST[:-2]])
def test_b31_a_head_that_does_not_come_is_not_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Whether nothing is said or only half of it."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    with connection(port) as client:
        client.sendall(said)
        assert received(client) == b""


def test_b31_the_next_head_of_a_connection_is_not_waited_for_either(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    with connection(port) as client:
        client.sendall(REQUEST)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
        client.sendall(b"GET")
        assert received(client) == b""


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.1\r\nX: ", b"GET /?", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000]
)
def test_b31_a_head_without_an_end_is_400(port: int, head: bytes) -> None:
    """One header, the request line, or ever more headers."""
    with connection(port) as client:
        client.sendall(head)
        for _ in range(2000):
            try:
                client.sendall(b"X: y\r\n" * 5000 if b"y" in head else b"x" * 30_000)
            except OSError:
                break
        else:
            pytest.fail("it reads on")


def test_a_head_of_some_size_and_a_slow_body_are_read(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bounds are of the head alone, and of each request anew."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 1)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nX: " + b"x" * 60_000
    with connection(port) as client:
        for _ in "12":
            client.sendall(head + b"\r\n\r\n" + b"y" * 99_999)
            time.sleep(1.2)
            client.sendall(b"z")
            answer = b""
            while not answer.endswith(b"z"):
                part = client.recv(1 << 16)
                assert part, "it was closed"
                answer += part
            assert answer.startswith(b"HTTP/1.1 200")
