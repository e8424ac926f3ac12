"""Which addresses reports may go to."""

import socket
from typing import Any

import pytest
from chat_server import Response, serving

from pipeline.errors import ExtractionError, ParamsError
from pipeline.triplets.llm_server import LlmConfig, LlmServer, check_endpoint


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
