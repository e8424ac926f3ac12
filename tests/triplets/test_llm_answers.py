"""Asking an endpoint that behaves, is slow, wrong, busy, dying or not ours; what is kept, and what is asked again."""

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Request, Response, completion, entities, serving

from pipeline.errors import ExtractionError, ParamsError
from pipeline.triplets.llm_answers import LEFT_OUT, Answers
from pipeline.triplets.llm_server import LlmConfig

_TEXTS = {f"s{number}": f"Report {number}: no edema." for number in range(12)}
_MANY = {f"s{number}": f"Report {number}: no edema." for number in range(200)}
_WRONG = "Here are the findings: edema."
_KEY = "sk-of-nobody-0123456789"


def _right(request: Request) -> Response:
    return entities({"category": "edema", "negated": True, "evidence": "no edema"})


def _config(server: ChatServer, folder: Path, **changes: Any) -> LlmConfig:
    settings = {"base_url": server.url, "model": "m", "cache": str(folder / "llm"), "max_retries": 0, "timeout": 20.0}
    return LlmConfig(**{**settings, **changes})


def _ask(config: LlmConfig, texts: dict[str, str] = _TEXTS) -> tuple[list[str], Counter[str]]:
    """The studies with an answer, and the counts."""
    counts: Counter[str] = Counter()
    return [item.study_id for item in Answers(config).items(texts, counts)], counts


def _failed(folder: Path) -> dict[str, str]:
    return json.loads((folder / "llm" / LEFT_OUT).read_text())["failed"]


def test_every_report_is_asked_about_once(tmp_path: Path) -> None:
    with serving(_right) as server:
        texts = {**_TEXTS, "same": _TEXTS["s0"], "blank": " \n"}
        found, counts = _ask(_config(server, tmp_path), texts)
        assert found == [*_TEXTS, "same"]
        assert sorted(server.reports) == sorted(_TEXTS.values())
        assert counts == {
            "reports_asked": 13, "reports_cached": 0, "reports_without_text": 1, "reports_failed": 0,
            "answers_invalid": 0, "prompt_tokens": 1300, "completion_tokens": 130,
        }  # fmt: skip
        again, counts = _ask(_config(server, tmp_path), texts)
        assert (again, len(server.requests)) == (found, 12)
        assert (counts["reports_asked"], counts["reports_cached"], counts["prompt_tokens"]) == (0, 13, 1300)


def test_another_model_or_temperature_is_another_question(tmp_path: Path) -> None:
    with serving(_right) as server:
        for change in ({}, {"model": "n"}, {"temperature": None}, {"temperature": 1.0}, {"concurrency": 3}):
            _ask(_config(server, tmp_path, **change), {"a": "No edema."})
        assert [request.body.get("temperature") for request in server.requests] == [0.0, 0.0, None, 1.0]


def test_the_request_is_strict_structured_output(tmp_path: Path) -> None:
    with serving(_right) as server:
        _ask(_config(server, tmp_path), {"a": "No edema."})
        form = server.requests[0].body["response_format"]
    assert (form["type"], form["json_schema"]["strict"]) == ("json_schema", True)
    schema = form["json_schema"]["schema"]
    for part in (schema, schema["$defs"]["Entity"]):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])
    fields = ["severity", "location", "category", "negated", "uncertain", "evidence"]
    assert list(schema["$defs"]["Entity"]["properties"]) == fields


def test_requests_at_a_time_are_limited(tmp_path: Path) -> None:
    running, most, lock = 0, 0, threading.Lock()

    def respond(request: Request) -> Response:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return _right(request)

    with serving(respond) as server:
        _ask(_config(server, tmp_path, concurrency=3))
    assert most == 3


@pytest.mark.parametrize(
    "wrong",
    [
        _WRONG, "", None, "[]", '{"entities": [{"category": "edema"}]}',
        '{"entities": [], "note": "x"}',
        '{"entities": [{"severity": "huge", "location": null, "category": "edema", "negated": false, '
        '"uncertain": false, "evidence": "edema"}]}',
    ],
)  # fmt: skip
def test_an_invalid_answer_is_asked_again_once(tmp_path: Path, wrong: str | None) -> None:
    with serving(lambda request: _right(request) if request.corrected else completion(wrong)) as server:
        found, counts = _ask(_config(server, tmp_path), {"a": "No edema."})
        assert found == ["a"]
        assert (counts["answers_invalid"], counts["prompt_tokens"], counts["reports_failed"]) == (1, 200, 0)
        assert len(server.requests) == 2
        assert server.requests[1].body["messages"][-2]["content"] == (wrong or "")


def test_reports_without_a_valid_answer_are_listed_and_asked_about_once_in_every_run(tmp_path: Path) -> None:
    def respond(request: Request) -> Response:
        return completion(_WRONG) if request.report == _TEXTS["s3"] else _right(request)

    with serving(respond) as server:
        for invalid in (2, 3):
            found, counts = _ask(_config(server, tmp_path, max_failed=1))
            assert found == [study for study in _TEXTS if study != "s3"]
            assert (counts["reports_failed"], counts["answers_invalid"]) == (1, invalid)
            assert _failed(tmp_path) == {"s3": "no valid answer"}
            assert server.reports.count(_TEXTS["s3"]) == invalid
        assert len(server.requests) == len(_TEXTS) + 2
        with pytest.raises(ExtractionError, match=r"1 reports have no valid answer .*more than .*max_failed 0"):
            _ask(_config(server, tmp_path))
        assert len(server.requests) == len(_TEXTS) + 3


def test_an_endpoint_that_was_mended_answers_what_it_had_failed(tmp_path: Path) -> None:
    with serving(lambda _: completion(_WRONG)) as server:
        with pytest.raises(ExtractionError, match="mend the endpoint or allow more, and run again"):
            _ask(_config(server, tmp_path, concurrency=1))
        server.respond = _right
        found, counts = _ask(_config(server, tmp_path))
        assert (found, counts["reports_failed"]) == (list(_TEXTS), 0)
        asked = len(server.requests)
        assert _ask(_config(server, tmp_path))[0] == list(_TEXTS)
        assert len(server.requests) == asked


def test_a_busy_server_is_asked_again_when_it_says(tmp_path: Path) -> None:
    times: list[float] = []

    def respond(request: Request) -> Response:
        times.append(time.monotonic())
        return Response(429, headers=(("Retry-After", "1"),)) if request.number == 0 else _right(request)

    with serving(respond) as server:
        found, _ = _ask(_config(server, tmp_path, max_retries=1), {"a": "No edema."})
    assert found == ["a"]
    assert times[1] - times[0] >= 1


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (Response(500), "HTTP 500"),
        (Response(429), "HTTP 429"),
        (Response(400), "HTTP 400"),
        (Response(200, b"<html>"), "no chat completion"),
        (Response(200, b'{"choices": []}'), "no chat completion"),
        (Response(200, b""), "no chat completion"),
        (Response(0), "no connection"),
    ],
)
def test_what_is_no_answer_is_not_kept(tmp_path: Path, response: Response, reason: str) -> None:
    with serving(lambda _: response) as server:
        found, counts = _ask(_config(server, tmp_path, max_failed=1), {"a": "No edema."})
        assert (found, counts["reports_failed"], _failed(tmp_path)) == ([], 1, {"a": reason})
        server.respond = _right
        assert _ask(_config(server, tmp_path), {"a": "No edema."})[0] == ["a"]


def test_a_slow_server_is_given_up(tmp_path: Path) -> None:
    with serving(lambda request: time.sleep(1) or _right(request)) as server:
        config = _config(server, tmp_path, timeout=0.2, max_failed=1)
        assert _ask(config, {"a": "No edema."})[0] == []
    assert _failed(tmp_path) == {"a": "not within 0.2 s"}


def test_a_dying_server_loses_nothing(tmp_path: Path) -> None:
    def respond(request: Request) -> Response:
        return _right(request) if request.number < 5 else Response(0)

    with serving(respond) as server:
        with pytest.raises(ExtractionError, match=r"no valid answer .*1 x no connection.* answers are kept in"):
            _ask(_config(server, tmp_path, concurrency=1), _MANY)
        answered = server.reports[:5]
        assert 5 < len(server.requests) < len(_MANY) / 2  # it stopped soon after the first one that failed
    with serving(_right) as server:
        found, counts = _ask(_config(server, tmp_path), _MANY)
        assert found == list(_MANY)
        assert counts["reports_cached"] == 5
        assert sorted([*answered, *server.reports]) == sorted(_MANY.values())


def test_an_answer_between_two_attempts_is_kept(tmp_path: Path) -> None:
    with serving(lambda request: Response(0) if request.corrected else completion(_WRONG)) as server:
        with pytest.raises(ExtractionError, match="no connection"):
            _ask(_config(server, tmp_path), {"a": "No edema."})
        server.respond = _right
        assert _ask(_config(server, tmp_path), {"a": "No edema."})[0] == ["a"]
        assert [request.corrected for request in server.requests] == [False, True, True]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_of_all_stops_at_once_and_shows_no_key(
    tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXR_LLM_API_KEY", _KEY)
    monkeypatch.setenv("OPENAI_LOG", "debug")
    caplog.set_level("DEBUG")
    body = json.dumps({"error": {"message": f"Incorrect API key {_KEY}"}}).encode()
    with serving(lambda _: Response(status, body)) as server:
        with pytest.raises(ExtractionError, match=rf"HTTP {status}: check .*'m'.*CXR_LLM_API_KEY") as caught:
            _ask(_config(server, tmp_path, concurrency=1, max_failed=1000), _MANY)
        assert len(server.requests) < len(_MANY) / 2
        assert server.requests[0].headers["authorization"] == f"Bearer {_KEY}"
    assert _KEY not in str(caught.value)
    assert _KEY not in caplog.text
    assert "no edema" not in caplog.text
    assert not any(_KEY in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_the_key_is_sent_and_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", _KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "of-someone-else")
    with serving(_right) as server:
        _ask(_config(server, tmp_path, api_key_env="MY_KEY"))
        assert server.requests[0].headers["authorization"] == f"Bearer {_KEY}"
        _ask(_config(server, tmp_path, model="n"))
        assert "authorization" not in server.requests[-1].headers  # CXR_LLM_API_KEY is not set
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > len(_TEXTS)
    assert not any(_KEY in path.read_text() for path in files)


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with serving(_right) as target:
        away = (("Location", f"{target.url}/chat/completions"),)
        with (
            serving(lambda _: Response(307, headers=away)) as server,
            pytest.raises(ExtractionError, match="HTTP 307, a redirect, which is not followed"),
        ):
            _ask(_config(server, tmp_path, max_failed=100))
        assert not target.requests


def test_proxies_of_the_environment_get_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(_right) as proxy, serving(_right) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        assert _ask(_config(server, tmp_path))[0] == list(_TEXTS)
        assert not proxy.requests


def test_a_model_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"extraction\.llm\.model is not set"):
        Answers(LlmConfig("http://127.0.0.1:1/v1", None, cache=str(tmp_path)))


def test_a_damaged_answer_is_named(tmp_path: Path) -> None:
    with serving(_right) as server:
        _ask(_config(server, tmp_path), {"a": "No edema."})
        path = next((tmp_path / "llm").glob("??/*.json"))
        path.write_text("{")
        with pytest.raises(ExtractionError, match=rf"{path.name} is no answer: delete it"):
            _ask(_config(server, tmp_path), {"a": "No edema."})
