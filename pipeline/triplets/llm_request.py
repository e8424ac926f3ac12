"""What a language model is asked about a report, and what it may answer.

The words are data (`llm_prompt.yaml`, and the names of the lexicon); the schema of the answer is the type `Answer`.
Sending requests is the matter of `llm_server`, what answers mean that of `llm_rules`.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import ParamsError
from pipeline.triplets.lexicon import Lexicon, load_lexicon

_PROMPT_FILE = Path(__file__).with_name("llm_prompt.yaml")


class _Strict(BaseModel):
    """Only the fields that are declared, and all of them, as strict structured output demands."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Entity(_Strict):
    """One statement of a report; `llm_prompt.yaml` says what each field means."""

    severity: Literal["subtle", "mild", "moderate", "severe"] | None
    location: str | None
    category: str | None
    negated: bool
    uncertain: bool
    evidence: str


class Answer(_Strict):
    """All entities of a report, sentence by sentence."""

    entities: tuple[Entity, ...]


class _Example(Answer):
    report: str


class Prompt(_Strict):
    """The content of `llm_prompt.yaml`."""

    instructions: str
    examples: tuple[_Example, ...]
    correction: str


class Questions:
    """The requests to one model.

    Args:
        model: its name at the endpoint.
        temperature: of its sampling; None leaves it to the endpoint.
    """

    def __init__(self, model: str, temperature: float | None, prompt: Prompt, lexicon: Lexicon) -> None:
        self._correction = prompt.correction
        names = {"pathologies": ", ".join(lexicon.pathologies), "anatomies": ", ".join(lexicon.anatomies)}
        self._messages = [_message("system", prompt.instructions.format(**names))]
        for example in prompt.examples:
            self._messages.append(_message("user", example.report))
            self._messages.append(_message("assistant", example.model_dump_json(include={"entities"})))
        schema = {"name": "entities", "strict": True, "schema": Answer.model_json_schema()}
        self._request: dict[str, Any] = {
            "model": model,
            "response_format": {"type": "json_schema", "json_schema": schema},
            **({} if temperature is None else {"temperature": temperature}),
        }
        self._hash = sha256(json.dumps([self._messages, self._correction, self._request], sort_keys=True).encode())

    def digest(self, report: str) -> str:
        """The hash of all that determines the answer: prompt, model, schema and report."""
        digest = self._hash.copy()
        digest.update(report.encode())
        return digest.hexdigest()

    def request(self, report: str, wrong: str | None = None) -> dict[str, Any]:
        """The body of a chat completion; `wrong` is an answer that was no valid one, which is then asked again."""
        again = [] if wrong is None else [_message("assistant", wrong), _message("user", self._correction)]
        return {**self._request, "messages": [*self._messages, _message("user", report), *again]}


def load_questions(model: str, temperature: float | None, path: Path = _PROMPT_FILE) -> Questions:
    """The requests by the prompt of a file and the names of the lexicon.

    Raises:
        ParamsError: the file is missing or no such prompt; names the field.
    """
    try:
        prompt = Prompt.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader))
        return Questions(model, temperature, prompt, load_lexicon())
    except (OSError, yaml.YAMLError) as error:
        raise ParamsError(f"The prompt {path} cannot be read ({error}): mend or restore the file.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ParamsError(f"The prompt {path} is wrong at {where} ({first['msg']}): mend the entry.") from error
    except (KeyError, IndexError, ValueError) as error:
        raise ParamsError(
            f"The instructions of the prompt {path} hold a brace that is neither {{pathologies}} nor {{anatomies}}: "
            "remove it."
        ) from error


def parse_answer(text: str) -> Answer | None:
    """The answer that a model wrote, or None when it is no valid one."""
    try:
        return Answer.model_validate_json(text)
    except ValidationError:
        return None


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
