"""The `llm` source's answers: asked for by several threads, each kept in a file as it comes.

A file is named by the hash of what was asked (`Questions.digest`), so that a second run, or one that goes on after an
interruption, finds it. A valid answer is never asked for again; an invalid one is asked for once more, and then once in
every run, as the endpoint may have been mended. Answers hold words of reports: the folder is as private as they are.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import ExtractionError
from pipeline.triplets.llm_request import Answer, load_questions, parse_answer
from pipeline.triplets.llm_rules import load_names
from pipeline.triplets.llm_server import LlmConfig, LlmServer, NoAnswerError, Reply
from pipeline.triplets.shards import Item, write_whole

LEFT_OUT = "left_out.json"  # beside the answers: ids of failed reports, and categories that the lexicon does not know
_ATTEMPTS = 2  # at an answer in the first run; later ones make one
_PROGRESS = 1000  # reports
_INVALID = "no valid answer"


class Stored(BaseModel):
    """A cache's file: what a model wrote about a report, the last time perhaps validly, and the tokens it took."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answers: tuple[str, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def answer(self) -> Answer | None:
        """The valid answer, if there is one."""
        return parse_answer(self.answers[-1]) if self.answers else None

    def and_then(self, reply: Reply) -> "Stored":
        """With one more answer."""
        return Stored(
            answers=(*self.answers, reply.text),
            prompt_tokens=self.prompt_tokens + reply.prompt_tokens,
            completion_tokens=self.completion_tokens + reply.completion_tokens,
        )


class Answers:
    """The answers of one model about reports, kept in a folder.

    Raises:
        ParamsError: as `LlmServer`, or the prompt is wrong.
    """

    def __init__(self, config: LlmConfig) -> None:
        self._config, self._folder = config, Path(config.cache)
        self._server = LlmServer(config)
        self._questions = load_questions(str(config.model), config.temperature)
        self._failed: dict[str, str] = {}  # study_id -> why

    def items(self, texts: Mapping[str, str], counts: Counter[str]) -> Iterator[Item]:
        """Have all reports answered that are not yet, then yield each with its answer, in order.

        Args:
            texts: study_id -> report; those without text are not asked about.
            counts: gets `reports_asked` and `reports_cached`, `reports_without_text`, `reports_failed`,
                `answers_invalid`, `prompt_tokens`, `completion_tokens` (of all answers, cached ones too).

        Raises:
            ExtractionError: more reports than `max_failed` have no valid answer, or the endpoint refuses all; what
                was answered is kept.
        """
        digests = {study: self._questions.digest(text) for study, text in texts.items() if text.strip()}
        missing: dict[str, list[str]] = {}  # digest -> the studies, whose reports may be the same
        for study, digest in digests.items():
            if digest in missing or self._load(digest).answer is None:
                missing.setdefault(digest, []).append(study)
        asked = sum(map(len, missing.values()))
        counts.update(reports_asked=asked, reports_cached=len(digests) - asked)
        counts["reports_without_text"] += len(texts) - len(digests)
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._ask_all(missing, texts)
            yield from self._answered(texts, digests, counts)
        finally:
            self._server.close()
            counts["reports_failed"] += len(self._failed)

    def _ask_all(self, missing: Mapping[str, list[str]], texts: Mapping[str, str]) -> None:
        pool = ThreadPoolExecutor(self._config.concurrency)
        try:
            futures = {pool.submit(self._ask, digest, texts[same[0]]): same for digest, same in missing.items()}
            for count, future in enumerate(as_completed(futures), 1):
                try:
                    future.result()
                except NoAnswerError as error:
                    self._fail(futures[future], str(error))
                if count % _PROGRESS == 0:
                    print(f"{count} of {len(futures)} reports are answered.")
        finally:
            pool.shutdown(cancel_futures=True)  # waits for the requests under way and keeps what they bring

    def _ask(self, digest: str, text: str) -> None:
        stored = self._load(digest)
        for _ in range(1 if stored.answers else _ATTEMPTS):
            wrong = stored.answers[-1] if stored.answers else None
            stored = stored.and_then(self._server.ask(self._questions.request(text, wrong)))
            path = self._path(digest)
            path.parent.mkdir(exist_ok=True)
            write_whole(path, stored.model_dump_json().encode())
            if stored.answer is not None:
                return
        raise NoAnswerError(_INVALID)

    def _answered(self, texts: Mapping[str, str], digests: Mapping[str, str], counts: Counter[str]) -> Iterator[Item]:
        names, unknown = load_names(), Counter[str]()
        for study, text in texts.items():
            stored = self._load(digests[study]) if study in digests else Stored()
            counts["answers_invalid"] += len(stored.answers) - (stored.answer is not None)
            counts["prompt_tokens"] += stored.prompt_tokens
            counts["completion_tokens"] += stored.completion_tokens
            if stored.answer is not None:
                unknown.update(names.unknown(stored.answer))
                yield Item(study, text, digests[study], stored.answer.model_dump_json())
        self._list(unknown)

    def _fail(self, studies: list[str], reason: str) -> None:
        self._failed.update(dict.fromkeys(studies, reason))
        if len(self._failed) > self._config.max_failed:
            self._list(Counter())
            reasons = ", ".join(f"{n} x {reason}" for reason, n in Counter(self._failed.values()).most_common())
            raise ExtractionError(
                f"{len(self._failed)} reports have no valid answer from extraction.llm.base_url "
                f"{self._config.base_url} ({reasons}), more than extraction.llm.max_failed "
                f"{self._config.max_failed}: mend the endpoint or allow more, and run again; answers are kept in "
                f"{self._folder}, and {LEFT_OUT} there names the reports."
            )

    def _list(self, unknown: Counter[str]) -> None:
        listed = {"failed": self._failed, "unknown_categories": dict(unknown.most_common())}
        write_whole(self._folder / LEFT_OUT, json.dumps(listed, indent=2).encode())

    def _load(self, digest: str) -> Stored:
        path = self._path(digest)
        try:
            return Stored.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return Stored()
        except ValidationError as error:
            raise ExtractionError(f"{path} is no answer: delete it and run again.") from error

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.json"
