"""Dictates the report of a phantom, and knows exactly what the text says.

A reader here misses some subtle findings, hedges others, compares with priors and leaves sections out; the
triplets follow the FINDINGS and IMPRESSION as dictated, not the drawing. Words and frames are data
(`wording.yaml`), sentences are built by `grammar`, slips of the typing hand by `typos`.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.phantom.grammar import Sentence, Speaker, Subject, TrueTriplet, laterality, severity_of, side_of
from pipeline.phantom.history import course_of, gone, unchanged
from pipeline.phantom.landmarks import BODY_CM, tube_height, vein_of
from pipeline.phantom.scene import Case, Finding
from pipeline.phantom.typos import mistype

MISSED_SUBTLE = 0.05
DOUBTED_SUBTLE = 0.14
DOUBTED = 0.05
MISTYPED_REPORTS = 0.22
STATED_COURSES = 0.65
RECALLED = 0.45  # follow-ups that mention what is gone
OUTSIDE_PRIORS = 0.5  # first studies that mention a prior of elsewhere, of which nothing is known
WIDTH = 79
# Which of FINDINGS and IMPRESSION a report has, and how often.
OUTLINES = {("FINDINGS", "IMPRESSION"): 0.66, ("IMPRESSION",): 0.18, ("FINDINGS",): 0.14, (): 0.02}


@dataclass(frozen=True)
class Dictation:
    """A report as a file would hold it, and the triplets its FINDINGS and IMPRESSION state, each once."""

    text: str
    triplets: tuple[TrueTriplet, ...]


def dictate(case: Case, rng: np.random.Generator, earlier: Case | None = None) -> Dictation:
    """Report a case in the manner of MIMIC-CXR.

    Args:
        case: what is drawn.
        rng: the only source of randomness.
        earlier: the patient's study before, which the report compares with; None for a first study.

    Raises:
        ValueError: the case shows a finding that the wording has no name for.
    """
    reader = _Reader(case, Speaker(rng), earlier)
    bodies = reader.read()
    text = _lay_out(reader, bodies)
    said = [triplet for sentences in bodies.values() for sentence in sentences for triplet in sentence.triplets]
    return Dictation(text, tuple(dict.fromkeys(said)))


class _Reader:
    """One radiologist before one film."""

    def __init__(self, case: Case, speaker: Speaker, earlier: Case | None) -> None:
        self.case, self.earlier = case, earlier
        self.speaker = speaker
        self.wording = speaker.wording
        self.entries: Mapping[str, Any] = self.wording["findings"]
        self.circumstances = self._circumstances()
        self.subjects = self._notice(case.findings)
        self.blocked = {name for s in self.subjects for name in (s.name, *self._entry(s).get("forbids", ()))}
        self.denied: set[str] = set()
        self.spoiled = {place for s in self.subjects for place in self._spoils(s)}

    def read(self) -> dict[str, list[Sentence]]:
        """The sentences of each section the report has."""
        outlines = list(OUTLINES)
        outline = outlines[int(self.speaker.rng.choice(len(outlines), p=list(OUTLINES.values())))]
        bodies = {}
        if "FINDINGS" in outline:
            bodies["FINDINGS"] = self._findings()
        if "IMPRESSION" in outline:
            bodies["IMPRESSION"] = self._impression(alone="FINDINGS" not in outline)
        return bodies

    def _circumstances(self) -> set[str]:
        """What the film and its priors are like, which decides what may be remarked."""
        film, drawn = self.case.acquisition, {finding.name for finding in self.case.findings}
        prior = self.earlier is not None or self.speaker.chance(OUTSIDE_PRIORS)
        holds = {
            "always": True,
            self.case.view: True,
            "prior": prior,
            "no prior": not prior,
            "rotated": abs(film.rotation) > 0.5,
            "inspired": film.inspiration >= 0 and "low lung volumes" not in drawn,
            "shallow": film.inspiration < -0.5,
        }
        return {name for name, true in holds.items() if true}

    def fitting(self, source: str) -> list[str]:
        """The frames that fit the circumstances, of those that the wording lists by circumstance; one at least."""
        frames: Mapping[str, Sequence[str]] = self.wording[source]
        return [frame for name, listed in frames.items() if name in self.circumstances for frame in listed]

    def _entry(self, subject: Subject) -> Mapping[str, Any]:
        if subject.name not in self.entries:
            raise ValueError(f"wording.yaml has no words for the finding {subject.name!r}: add them under `findings`.")
        entry: Mapping[str, Any] = self.entries[subject.name]
        return entry

    def _spoils(self, subject: Subject) -> set[str]:
        """What can no longer be called normal; a one-sided lung finding leaves the other lung."""
        spoiled = set(self._entry(subject).get("spoils", ()))
        sides = {side_of(anatomy)[0] for anatomy in subject.anatomies}
        if "lung" in spoiled:
            spoiled |= {f"{side} lung" for side in ("left", "right") if sides & {side, None}}
        return spoiled

    def _notice(self, findings: Iterable[Finding]) -> list[Subject]:
        noticed = [f for f in findings if f.severity != "subtle" or not self.speaker.chance(MISSED_SUBTLE)]
        return [self._take(finding) for finding in noticed]

    def _take(self, finding: Finding) -> Subject:
        """Settle how a finding is taken in the whole report: place, degree, course, and whether it is in doubt."""
        severity = finding.severity if self.speaker.chance(0.65) else None
        entry = self._entry(Subject(finding.name, finding.anatomies))
        doubt = entry.get("doubted", 0.0) + (DOUBTED_SUBTLE if finding.severity == "subtle" else DOUBTED)
        doubtful = not entry.get("device") and self.speaker.chance(doubt)
        anatomies = finding.anatomies
        if entry["default"] == "lung" and laterality(anatomies) == "one" and self.speaker.chance(0.06):
            anatomies = (f"{side_of(anatomies[0])[0]} lung",)
        course = course_of(finding, self.earlier)
        if not self.speaker.chance(STATED_COURSES) or (entry["severity"] == "none" and course in ("grown", "shrunk")):
            course = "present"
        return Subject(finding.name, anatomies, severity, finding.side, doubtful, course, self._details(finding))

    def _details(self, finding: Finding) -> dict[str, str]:
        """Words for how a device is drawn."""
        if finding.name == "endotracheal tube":
            return {"cm": f"{BODY_CM * tube_height(finding):.1f}"}
        if finding.name == "central venous catheter":
            return {"vein": self.speaker.pick(self.wording["veins"][vein_of(finding)])}
        return {}

    def _frames(self, source: str, subject: Subject) -> Sequence[str]:
        """Frames for the course of a subject; those for none where it has no frames of its own."""
        frames: Mapping[str, Sequence[str]] = self.wording[source]
        return frames.get(subject.course, frames["present"])

    def _findings(self) -> list[Sentence]:
        positives = self._positives(self.subjects)
        normals = self._normals(int(self.speaker.rng.integers(1, 5)))
        denials = self._denials(int(self.speaker.rng.integers(1, 3)))
        parts = [positives, normals, denials] if self.speaker.chance(0.6) else [normals, denials, positives]
        lead = self._remark(self.fitting("remarks"), 0.25) + self._remark(self.wording["histories"], 0.02)
        return lead + [sentence for part in parts for sentence in part] + self._extras()

    def _impression(self, alone: bool) -> list[Sentence]:
        diseases = [subject for subject in self.subjects if not self._entry(subject).get("device")]
        extras = self._extras() if alone else []
        told = self.subjects if alone else [s for s in diseases if self.speaker.chance(0.8)]
        sentences = self._positives(told)
        if not diseases:
            sentences.append(self._all_clear())
        elif self.speaker.chance(0.45):
            sentences += self._denials(1)
        if alone:
            sentences += self._normals(1) + self._denials(1) + extras
        if unchanged(self.case, self.earlier):
            sentences += self._remark(self.wording["no_change"], 0.4)
        return sentences + self._remark(self.fitting("advice"), 0.2)

    def _extras(self) -> list[Sentence]:
        """What earlier studies showed and what a cautious reader adds, on some films."""
        sentences = []
        if self.speaker.chance(RECALLED) and (lost := self._lost()):
            frames = "removed" if self._entry(lost).get("device") else "resolved"
            sentences.append(self.speaker.tell(self.wording[frames], lost, "absent"))
        if self.speaker.chance(0.04) and (suspect := self._suspect()):
            sentences.append(self.speaker.tell(self.wording["uncertain"], suspect, "uncertain"))
        return sentences

    def _lost(self) -> Subject | None:
        """Something that the earlier study shows and this one does not; blocked from now on."""
        lost = [finding for finding in gone(self.case, self.earlier) if finding.name not in self.blocked]
        if not lost:
            return None
        finding = self.speaker.pick(lost)
        self.blocked.add(finding.name)
        return Subject(finding.name, finding.anatomies, None, finding.side, details=self._details(finding))

    def _suspect(self) -> Subject | None:
        """A finding that nothing on this film shows; blocked from now on."""
        suspected: Mapping[str, Sequence[str]] = self.wording["suspected"]
        names = [name for name in suspected if name not in self.blocked | self.denied]
        if not names:
            return None
        name = self.speaker.pick(names)
        self.blocked.add(name)
        return Subject(name, (self.speaker.pick(suspected[name]),))

    def _remark(self, frames: Sequence[str], probability: float) -> list[Sentence]:
        if not self.speaker.chance(probability):
            return []
        return [
            Sentence(self.speaker.fill(self.speaker.pick(frames), {"topic": self.speaker.pick(self.wording["topics"])}))
        ]

    def _positives(self, subjects: Sequence[Subject]) -> list[Sentence]:
        """Devices first or last, diseases in any order, two of them in one sentence at times."""
        devices = [self._device(s) for s in subjects if self._entry(s).get("device")]
        diseases = [s for s in subjects if not self._entry(s).get("device")]
        order = self.speaker.rng.permutation(len(diseases))
        diseases = [diseases[i] for i in order]
        sentences = []
        while diseases:
            first = diseases.pop()
            if diseases and not first.doubtful and not diseases[-1].doubtful and self.speaker.chance(0.15):
                second = diseases.pop()
                same = first if first.course == second.course else replace(first, course="present")
                sentences.append(self.speaker.tell_two(self._frames("pairs", same), first, second, "present"))
            else:
                sentences.append(self._doubt(first) if first.doubtful else self._affirm(first))
        return devices + sentences if self.speaker.chance(0.6) else sentences + devices

    def _device(self, subject: Subject) -> Sentence:
        placed = self._entry(subject).get("placed")
        if placed and self.speaker.chance(0.6):
            anatomies = list(placed)
            anatomy = anatomies[0] if self.speaker.chance(0.65) else self.speaker.pick(anatomies)
            return self.speaker.tell_at(placed[anatomy], subject, anatomy)
        return self.speaker.tell(self._frames("devices", subject), subject, "present")

    def _affirm(self, subject: Subject) -> Sentence:
        entry = self._entry(subject)
        sided = laterality(subject.anatomies) == "one" and "side_clauses" in entry
        clauses = entry.get("side_clauses" if sided else "clauses")
        if clauses and subject.course in ("present", "stable") and self.speaker.chance(0.55):
            return self.speaker.claim(clauses, subject, "present", sided=sided)
        if entry.get("signs") and self.speaker.chance(0.22):
            meaning = replace(subject, severity=None)
            frames = self._frames("firm_signs", subject)
            return self.speaker.explain(frames, self._sign(subject), meaning, ("present", "present"))
        return self.speaker.tell(self._frames("statements", subject), subject, "present")

    def _doubt(self, subject: Subject) -> Sentence:
        entry = self._entry(subject)
        if entry.get("signs") and self.speaker.chance(0.55):
            meaning = replace(subject, severity=None)
            frames = self._frames("hinted", subject)
            return self.speaker.explain(frames, self._sign(subject), meaning, ("present", "uncertain"))
        rivals = [name for name in entry.get("rivals", ()) if name not in self.denied]
        if rivals and self.speaker.chance(0.5):
            rival = Subject(self.speaker.pick(rivals), subject.anatomies)
            self.blocked.add(rival.name)
            frames = self.wording["rivals"]
            return self.speaker.explain(frames, subject, rival, ("uncertain", "uncertain"))
        if entry.get("doubts") and self.speaker.chance(0.5):
            return self.speaker.claim(entry["doubts"], subject, "uncertain", sided=False)
        return self.speaker.tell(self.wording["uncertain"], subject, "uncertain")

    def _sign(self, subject: Subject) -> Subject:
        signs = self._entry(subject)["signs"]
        name = self.speaker.pick(list(signs))
        place = signs[name]
        if place is None:
            return replace(subject, name=name)
        sides = [side_of(anatomy)[0] for anatomy in subject.anatomies]
        sided = laterality([f"{side} {place}" if side else place for side in sides]) != "none"
        keeps = sided and place == "costophrenic angle"
        anatomies = tuple(f"{side} {place}" for side in sides) if keeps else (place,)
        return replace(subject, name=name, anatomies=anatomies)

    def _normals(self, count: int) -> list[Sentence]:
        """Normal statements about places that nothing spoils; a lung alone only beside a diseased other lung."""
        half_clear = "lung" in self.spoiled
        sentences: list[Sentence] = []
        named: set[str] = set()
        options = list(self.wording["normals"])
        for index in self.speaker.rng.permutation(len(options)):
            places = options[index].split(" + ")
            lone_lung = places in (["left lung"], ["right lung"])
            seldom = options[index] in self.wording["seldom_normal"] and self.speaker.chance(0.8)
            if seldom or named & set(places) or self.spoiled & set(places) or (lone_lung and not half_clear):
                continue
            named |= set(places)
            frame = self.speaker.pick(self.wording["normals"][options[index]])
            truth = tuple(TrueTriplet("normal", place, "present", None) for place in places)
            sentences.append(Sentence(self.speaker.fill(frame), truth))
        return sentences[:count]

    def _denials(self, count: int) -> list[Sentence]:
        """Lists of findings that are not there; none is denied twice."""
        sentences, denied = [], set(self.blocked)
        for _ in range(count):
            names = self._deniable(denied)
            if not names:
                break
            denied |= set(names)
            self.denied |= set(names)
            sentences.append(self._denial(names))
        if self.speaker.chance(0.35):
            sentences += self._clear_of()
        return sentences

    def _deniable(self, denied: set[str]) -> list[str]:
        often = [name for name in self.wording["often_denied"] if name not in denied]
        rare = [name for name, entry in self.entries.items() if "denied" in entry and name not in (*denied, *often)]
        chosen: list[str] = []
        for _ in range(int(self.speaker.rng.choice([1, 2, 3, 4], p=[0.3, 0.35, 0.25, 0.1]))):
            pool = [name for name in (often if self.speaker.chance(0.8) else rare) if name not in chosen]
            if pool:
                chosen.append(self.speaker.pick(pool))
        return chosen

    def _denial(self, names: Sequence[str]) -> Sentence:
        phrases = [self._denied_phrase(name) for name in names]
        if all(subject.anatomies == ("lung",) for _, subject in phrases):
            if "lung" not in self.spoiled and self.speaker.chance(0.3):
                clear = self.speaker.deny(self.wording["clear_denials"], phrases)
                return replace(clear, triplets=(TrueTriplet("normal", "lung", "present", None), *clear.triplets))
            if self.speaker.chance(0.2):
                return self.speaker.deny(self.wording["lung_denials"], phrases)
        since = self.wording["denials_since"] if self.earlier else []
        return self.speaker.deny([*self.wording["denials"], *since], phrases)

    def _denied_phrase(self, name: str) -> tuple[str, Subject]:
        phrase = self.speaker.pick(list(self.entries[name]["denied"]))
        anatomy = self.entries[name]["denied"][phrase]
        if anatomy == "pleura" and phrase == name and self.speaker.chance(0.06):
            side = self.speaker.pick(["left", "right"])
            phrase, anatomy = f"{side} {phrase}", f"{side} pleura"
        return phrase, Subject(name, (anatomy,), severity_of(phrase.split()[0]))

    def _clear_of(self) -> list[Sentence]:
        options = [
            option
            for option in self.wording["clear_of"]
            if option["anatomy"] not in self.spoiled and (option["anatomy"] != "unspecified" or not self.spoiled)
        ]
        return [self._deny_one(self.speaker.pick(options))] if options else []

    def _all_clear(self) -> Sentence:
        """The impression of a film without disease: normal, unless something was suspected."""
        if self.speaker.chance(0.2) and not self.blocked & set(self.wording["suspected"]):
            text = self.speaker.fill(self.speaker.pick(self.wording["normal_studies"]))
            return Sentence(text, (TrueTriplet("normal", "unspecified", "present", None),))
        return self._deny_one(self.speaker.pick([o for o in self.wording["clear_of"] if o["anatomy"] == "unspecified"]))

    def _deny_one(self, option: Mapping[str, Any]) -> Sentence:
        text = self.speaker.fill(self.speaker.pick(option["say"]))
        return Sentence(text, (TrueTriplet(option["pathology"], option["anatomy"], "absent", None),))


def _lay_out(reader: _Reader, bodies: Mapping[str, Sequence[Sentence]]) -> str:
    """The report's lines: header sections, bodies, and at times an addendum."""
    speaker = reader.speaker
    slips = 0.03 if speaker.chance(MISTYPED_REPORTS) else 0.0
    inline = speaker.chance(0.35)
    lines = [f"{'FINAL REPORT':>45}"]
    for title, content in _header(reader):
        lines += [*_wrapped(f"{title}:  {content}"), " "]
    for title, sentences in bodies.items():
        paragraphs = _paragraphs(title, sentences, speaker, slips)
        if inline:
            lines += [*_wrapped(f"{title}:  {paragraphs[0]}"), " "]
            paragraphs = paragraphs[1:]
        else:
            lines += [f" {title}: ", " "]
        for paragraph in paragraphs:
            lines += [*_wrapped(paragraph), " "]
    if speaker.chance(0.02):
        lines += [f"{'FINAL ADDENDUM':>46}", *_wrapped(f"ADDENDUM:  {speaker.pick(speaker.wording['addenda'])}"), " "]
    return "\n".join(lines[:-1]) + "\n"


def _header(reader: _Reader) -> list[tuple[str, str]]:
    case, speaker, words = reader.case, reader.speaker, reader.wording
    person = {"F": "woman", "M": "man"}[case.sex]
    slots = {
        "person": person,
        "initial": case.sex,
        "complaint": speaker.pick(words["complaints"]),
        "topic": speaker.pick(words["topics"]),
    }
    sections = [
        ("EXAMINATION", speaker.pick(reader.fitting("examinations")), 0.75),
        ("INDICATION", speaker.fill(speaker.pick(words["indications"]), slots), 0.92),
        ("TECHNIQUE", speaker.pick(reader.fitting("techniques")), 0.65),
        ("COMPARISON", speaker.pick(reader.fitting("comparisons")), 0.8),
    ]
    return [(title, content) for title, content, probability in sections if speaker.chance(probability)]


def _paragraphs(title: str, sentences: Sequence[Sentence], speaker: Speaker, slips: float) -> list[str]:
    """Running text, or a numbered list in some impressions."""
    typed = [mistype(f"{sentence.text}.", slips, speaker.rng) for sentence in sentences]
    if title == "IMPRESSION" and len(typed) > 1 and speaker.chance(0.45):
        return [f"{number}.  {sentence}" for number, sentence in enumerate(typed, start=1)]
    gap = "" if slips and speaker.chance(0.15) else "  " if speaker.chance(0.6) else " "
    return [gap.join(typed)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=" ", subsequent_indent=" ", break_on_hyphens=False, fix_sentence_endings=False
    )
