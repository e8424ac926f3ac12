"""Reports per second of the `spacy` source on one core, against spaCy's PhraseMatcher over the same phrases.

Reports of about 60 words are composed from the lexicon with a fixed seed: `fresh` ones hardly repeat a sentence;
`dictated` ones, of which the bar is, have 65 % of theirs in common with others, as an Open-i report has with 2,500
others. The matcher only finds the names: it reads no scope, side or place. Run: python -m perf.triplets. Times are of
one core's CPU, so that other work does not count.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import spacy
from spacy.matcher import PhraseMatcher

from pipeline.triplets.lexicon import Lexicon, load_lexicon
from pipeline.triplets.shards import Item
from pipeline.triplets.spacy_rules import SpacyReader

REPORTS, WORDS, LIMIT = 4000, 60, 3000  # LIMIT: dictated reports/s that the source must reach
REPEATED, STOCK = 0.65, 2000  # of the dictated sentences; of so many


def sentences(lexicon: Lexicon, rng: np.random.Generator) -> Iterator[str]:
    """Endless dictated sentences of findings, places, sides and severities."""
    findings = [phrase for entry in lexicon.pathologies.values() for phrase in entry.synonyms]
    places = [phrase for entry in lexicon.anatomies.values() for phrase in entry.synonyms]
    while True:
        a, b, c = rng.choice(findings, 3)
        place, side = rng.choice(places), rng.choice(["left", "right", "bilateral"])
        severity, size = rng.choice(["Small", "Moderate", "Large", "Mild"]), rng.integers(2, 90)
        match rng.integers(4):
            case 0:
                yield f"No focal {a}, {b} or {c} is seen."
            case 1:
                yield f"{severity} {side} {a} measuring {size} mm in the {place}, unchanged since the prior study."
            case 2:
                yield f"The {place} shows {a}, which may represent {b} versus {c}."
            case _:
                yield f"The {place} is normal and there is no evidence of {a}."


def _report(source: Iterator[str]) -> str:
    text = ""
    while len(text.split()) < WORDS:
        text += next(source) + " "
    return text


def _dictated(fresh: Iterator[str], rng: np.random.Generator) -> Iterator[str]:
    stock = [next(fresh) for _ in range(STOCK)]
    while True:
        yield str(rng.choice(stock)) if rng.random() < REPEATED else next(fresh)


def _rate(read: Callable[[list[Any]], object], reports: list[Any]) -> float:
    start = time.process_time()
    read(reports)
    return len(reports) / (time.process_time() - start)


def _phrase_matcher(lexicon: Lexicon) -> Callable[[list[str]], object]:
    nlp = spacy.blank("en")
    matcher = PhraseMatcher(nlp.vocab, attr="LOWER")
    for name, entry in (*lexicon.pathologies.items(), *lexicon.anatomies.items()):
        matcher.add(name, [nlp.make_doc(phrase) for phrase in entry.synonyms])
    return lambda reports: [matcher(nlp.make_doc(text)) for text in reports]


def main() -> None:
    """Print both rates and their ratio."""
    lexicon, rng = load_lexicon(), np.random.default_rng(0)
    fresh = sentences(lexicon, rng)
    for name, source in (("fresh", fresh), ("dictated", _dictated(fresh, rng))):
        reports = [_report(source) for _ in range(REPORTS)]
        reference = _rate(_phrase_matcher(lexicon), reports)
        ours = _rate(SpacyReader().read, [Item(str(number), text) for number, text in enumerate(reports)])
        print(f"{name}: {ours:,.0f} reports/s, {ours / LIMIT:.2f} of the {LIMIT:,} required; ", end="")
        print(f"PhraseMatcher alone {reference:,.0f} reports/s; ratio {ours / reference:.2f}")


if __name__ == "__main__":
    main()
