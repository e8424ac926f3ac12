"""An OpenAI-compatible endpoint: one chat completion at a time, private by default.

Retries and their waiting (exponential with jitter, Retry-After) are the `openai` client's own: they know the protocol's
errors, and a second library around them would multiply the attempts. Messages hold no text of a report, of an answer or
of the key: what a server writes may quote either, so that only its status is told.
"""

import logging
import os
import re
import socket
import ssl
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from pipeline.errors import ExtractionError, ParamsError

# RFC 1122 and 3927, 1918, 4291 and 4193: loopback, link-local and private; nothing else counts as this network
_PRIVATE = [
    ip_network(network)
    for network in (
        *("127.0.0.0/8", "169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        *("::1/128", "fe80::/10", "fc00::/7"),
    )
]
# Nothing that two parsers could read in two ways, and no credentials
_URL = re.compile(r"https?://(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[\w.-]+))(?::\d+)?(?:/[\w./~-]*)?", re.ASCII)
_FATAL = {401, 403, 404}  # the same for every report


@dataclass(frozen=True)
class LlmConfig:
    """A model behind an endpoint, and how to ask it.

    Attributes:
        base_url: of the endpoint, as in http://127.0.0.1:8000/v1.
        model: its name there.
        api_key_env: the environment variable that holds the key; where it is not set, none is sent.
        allow_remote: send reports to an address that is neither this machine nor in a private network.
        temperature: None leaves it to the endpoint.
        concurrency: requests at a time.
        timeout: seconds until an attempt's answer begins, and as many until it is whole.
        max_retries: further attempts after no answer, 429 or a server's error.
        max_failed: reports without a valid answer that are put up with.
        cache: folder of the answers, by what was asked.
    """

    base_url: str
    model: str | None
    api_key_env: str = "CXR_LLM_API_KEY"
    allow_remote: bool = False
    temperature: float | None = 0.0
    concurrency: int = 8
    timeout: float = 120.0
    max_retries: int = 5
    max_failed: int = 0
    cache: str = ".checkpoints/llm"


class NoAnswerError(Exception):
    """The endpoint gave no answer for one report; says why."""


class Reply(NamedTuple):
    """What the model wrote, and the tokens of the request and of that."""

    text: str
    prompt_tokens: int
    completion_tokens: int


class _Message(BaseModel):
    content: str | None = None  # null in a refusal


class _Choice(BaseModel):
    message: _Message


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(BaseModel):
    choices: tuple[_Choice, ...]
    usage: _Usage | None = None


class LlmServer:
    """The client of one endpoint; threads may share it.

    Raises:
        ParamsError: no model is named, or the address is none, or remote and not allowed.
    """

    def __init__(self, config: LlmConfig) -> None:
        addresses = check_endpoint(config.base_url, config.model, config.allow_remote)
        import openai  # takes seconds

        from pipeline.triplets.llm_transport import CheckedTransport, Deadline

        logging.getLogger("openai").setLevel(logging.WARNING)  # OPENAI_LOG=debug would write reports to the log
        self._openai, self._config = openai, config
        # A proxy of the environment would carry reports away, and so would a redirect. Certificates are the machine's.
        verify = ssl.create_default_context()
        http = openai.DefaultHttpxClient(
            trust_env=config.allow_remote,
            follow_redirects=False,
            verify=verify,
            timeout=config.timeout,
            transport=CheckedTransport(addresses, verify, openai.DEFAULT_CONNECTION_LIMITS) if addresses else None,
            event_hooks={"response": [Deadline(config.timeout)]},
        )
        key = os.environ.get(config.api_key_env)
        self._headers = {} if key else {"Authorization": openai.Omit()}
        self._client = openai.OpenAI(
            base_url=config.base_url,
            api_key=key or "none",  # the client wants one
            max_retries=config.max_retries,
            timeout=config.timeout,
            http_client=http,
        )

    def ask(self, request: dict[str, Any]) -> Reply:
        """Have one chat completion made.

        Raises:
            NoAnswerError: there is none for this request, after all retries.
            ExtractionError: there will be none for any: the key, the model or the address is wrong.
        """
        try:
            response = self._client.chat.completions.with_raw_response.create(
                model=request["model"],
                messages=[],
                extra_body=request,  # as it is: checking its types again would take two thirds of the client's time
                extra_headers=self._headers,
            )
            completion = _Completion.model_validate_json(response.content)
            text = completion.choices[0].message.content or ""
        except self._openai.APIStatusError as error:
            self._reject(error.status_code)
            raise NoAnswerError(f"HTTP {error.status_code}") from error
        except self._openai.APITimeoutError as error:
            raise NoAnswerError(f"not within {self._config.timeout:g} s") from error
        except self._openai.OpenAIError as error:
            raise NoAnswerError("no connection") from error
        except (ValidationError, IndexError) as error:
            raise NoAnswerError("no chat completion") from error
        usage = completion.usage or _Usage()
        return Reply(text, usage.prompt_tokens, usage.completion_tokens)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _reject(self, status: int) -> None:
        where = f"extraction.llm.base_url {self._config.base_url} answers HTTP {status}"
        if 300 <= status < 400:
            raise ExtractionError(f"{where}, a redirect, which is not followed: set the address that it leads to.")
        if status in _FATAL:
            raise ExtractionError(
                f"{where}: check extraction.llm.model ({self._config.model!r}), the address, and the key in the "
                f"environment variable {self._config.api_key_env}."
            )


def check_endpoint(base_url: str, model: str | None, allow_remote: bool) -> tuple[str, ...]:
    """Check what can be checked before anything is sent.

    Returns:
        The addresses that may be connected to; none where any may.

    Raises:
        ParamsError: no model is named, the address is none, or it is remote and that is not allowed.
    """
    if not model:
        raise ParamsError("extraction.llm.model is not set: name the model that the endpoint serves.")
    parts = _URL.fullmatch(base_url)
    if parts is None:
        raise ParamsError(
            "extraction.llm.base_url is no plain http or https address: give one as in http://127.0.0.1:8000/v1, "
            "without user name, password or query; a key belongs in the variable named by extraction.llm.api_key_env."
        )
    return () if allow_remote else _private_addresses(base_url, parts["v6"] or parts["host"])


def _private_addresses(base_url: str, host: str) -> tuple[str, ...]:
    """What a host's name resolves to, every address of which must be this machine's or of a private network."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ParamsError(f"extraction.llm.base_url {base_url} cannot be resolved: check the name {host}.") from error
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not _is_private(address):
            raise ParamsError(
                f"extraction.llm.base_url {base_url} is at {address}, neither this machine nor a private network, and "
                "reports of patients, such as MIMIC-CXR's under its data use agreement, may not be sent to third "
                "parties: serve a model here, or set extraction.llm.allow_remote to true if your agreement permits it."
            )
    return addresses


def _is_private(address: str) -> bool:
    ip = ip_address(address.partition("%")[0])  # without an IPv6 zone
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in _PRIVATE)
