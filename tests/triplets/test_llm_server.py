"""Which addresses reports may go to."""

import socket
import time
from typing import Any

import pytest
from chat_server import Response, completion, serving

from pipeline.errors import ExtractionError, ParamsError
from pipeline.triplets.llm_server import LlmConfig, LlmServer, NoAnswerError, check_endpoint


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.8.9.10", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.1.1", "[::1]",
        "[fd12:3456::1]", "[fe80::1]", "[::ffff:10.1.2.3]", "localhost",
    ],
)  # fmt: skip
def test_this_machine_and_private_networks_pass(host: str) -> None:
    check_endpoint(f"http://{host}:8000/v1", "m", False)
    check_endpoint(f"https://{host}", "m", False)


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8", "172.32.0.1", "192.169.0.1", "100.64.0.1", "203.0.113.5", "0.0.0.0", "[2001:4860:4860::8888]",
        "[::ffff:8.8.8.8]", "[64:ff9b::a01:203]", "[2002:a01:203::1]", "134744072", "[::]",
    ],
)  # fmt: skip
def test_all_others_are_refused(host: str) -> None:
    with pytest.raises(ParamsError, match=r"neither this machine nor a private network.*allow_remote"):
        check_endpoint(f"http://{host}:8000/v1", "m", False)


@pytest.mark.parametrize(
    ("addresses", "refused"),
    [
        (["10.0.0.1"], False),
        (["10.0.0.1", "fd00::1"], False),
        (["10.0.0.1", "8.8.8.8"], True),
        (["fd00::1", "2606:4700::1111"], True),
        (["fe80::1%eth0"], False),
    ],
)
def test_every_address_of_a_name_counts(addresses: list[str], refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: Any, **_: Any) -> list[Any]:
        assert host == "llm.hospital.example"
        return [(socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    if refused:
        with pytest.raises(ParamsError, match=f"llm.hospital.example/v1 is at {addresses[-1]}"):
            LlmServer(LlmConfig("https://llm.hospital.example/v1", "m"))
    else:
        LlmServer(LlmConfig("https://llm.hospital.example/v1", "m")).close()


def test_only_addresses_that_were_checked_are_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is private when it is checked and would be remote afterwards; its first address takes no connection."""
    answers = iter([["127.0.0.2", "127.0.0.1"], ["203.0.113.9"]])
    real, connected = socket.getaddrinfo, []

    def resolve(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        if host in ("llm.hospital.example", b"llm.hospital.example"):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0)) for address in next(answers)]
        connected.append(host)
        return real(host, port, *args, **options)

    with serving(lambda _: completion("found")) as endpoint:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        url = f"http://llm.hospital.example:{endpoint.server_port}/v1"
        server = LlmServer(LlmConfig(url, "m", max_retries=0))
        assert server.ask({"model": "m", "messages": []}).text == "found"
        server.close()
        assert endpoint.requests[0].headers["host"] == f"llm.hospital.example:{endpoint.server_port}"
    assert connected == ["127.0.0.2", "127.0.0.1"]


def test_an_answer_that_dribbles_is_given_up() -> None:
    """Every byte comes in time, all of them never do."""
    body = completion("found").body
    with serving(lambda _: Response(200, body, pause=0.02)) as endpoint:
        server = LlmServer(LlmConfig(endpoint.url, "m", max_retries=0, timeout=0.3))
        start = time.monotonic()
        with pytest.raises(NoAnswerError, match=r"not within 0\.3 s"):
            server.ask({"model": "m", "messages": []})
        assert time.monotonic() - start < 0.02 * len(body) / 2
        server.close()


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ParamsError, match="cannot be resolved: check the name nowhere"):
        check_endpoint("http://nowhere/v1", "m", False)


@pytest.mark.parametrize(
    "url",
    [
        "", "127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://user:secret@127.0.0.1/v1", "http://8.8.8.8@127.0.0.1",
        "http://127.0.0.1\\@8.8.8.8/", "http://127.0.0.1#@8.8.8.8/", "http://127.0.0.1/v1?key=secret",
        "http://127.0.0.1/ v1", "http://[::1", "http://127.0.0.1\n8.8.8.8",
    ],
)  # fmt: skip
def test_what_parsers_may_read_in_two_ways_is_no_address(url: str) -> None:
    for allow_remote in (False, True):
        with pytest.raises(ParamsError, match=r"no plain http or https address") as caught:
            check_endpoint(url, "m", allow_remote)
        assert "secret" not in str(caught.value)


def test_remote_is_a_choice() -> None:
    with pytest.raises(ParamsError, match="third parties"):
        LlmServer(LlmConfig("http://8.8.8.8/v1", "m"))
    LlmServer(LlmConfig("http://8.8.8.8/v1", "m", allow_remote=True)).close()


def test_what_is_allowed_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote endpoint is often behind one; the address itself is never reached here."""
    with serving(lambda _: Response(200)) as proxy:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        server = LlmServer(LlmConfig("http://192.0.2.1/v1", "m", allow_remote=True, max_retries=0))
        with pytest.raises(ExtractionError, match="404"):  # the test's server knows no absolute addresses
            server.ask({"model": "m", "messages": []})
        server.close()
        assert len(proxy.requests) == 1
