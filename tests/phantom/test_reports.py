import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.phantom.cohort import sample_cohort
from pipeline.phantom.grammar import TrueTriplet, wording
from pipeline.phantom.landmarks import tube_height, vein_of
from pipeline.phantom.reports import Dictation, dictate
from pipeline.phantom.scene import SEEN, UNSEEN, Case, Finding, sample_case
from pipeline.triplets.lexicon import load_lexicon

HEADERS = {"EXAMINATION", "INDICATION", "TECHNIQUE", "COMPARISON", "FINDINGS", "IMPRESSION", "ADDENDUM"}


def case_with(rng: np.random.Generator, *findings: Finding) -> Case:
    normal = sample_case(rng, normal=1.0)
    return Case(normal.seed, normal.sex, normal.age, "AP", findings, normal.habitus, normal.acquisition)


def dictations(count: int, **options: object) -> list[tuple[Case, Dictation]]:
    rng = np.random.default_rng(11)
    cases = [sample_case(rng, **options) for _ in range(count)]  # type: ignore[arg-type]
    return [(case, dictate(case, rng)) for case in cases]


def body(text: str) -> str:
    parts = re.split(r"^ (FINDINGS|IMPRESSION): ", text, flags=re.M)
    return " ".join(" ".join(part.split()) for part in parts[2::2])


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_any_report_is_well_formed(seed: int) -> None:
    lexicon = load_lexicon()
    rng = np.random.default_rng(seed)
    case = sample_case(rng)
    report = dictate(case, np.random.default_rng(seed))
    assert report == dictate(case, np.random.default_rng(seed))
    assert all(len(line) <= 80 for line in report.text.splitlines())
    assert "FINAL REPORT" in report.text.splitlines()[0]
    assert not re.search(r"[{}\[\]]|\b(None|nan)\b(?!\.)", report.text)
    assert set(re.findall(r"^ ([A-Z]+):", report.text, flags=re.M)) <= HEADERS
    assert "covid" not in report.text.lower()
    assert len(report.triplets) == len(set(report.triplets))
    for triplet in report.triplets:
        assert triplet.pathology in lexicon.pathologies
        assert triplet.anatomy in lexicon.anatomies
        assert triplet.existence in {"present", "absent", "uncertain"}
    if not body(report.text):
        assert not report.triplets


def test_sections_may_be_missing() -> None:
    outlines = Counter(
        tuple(name for name in ("FINDINGS", "IMPRESSION") if f" {name}: " in report.text)
        for _, report in dictations(600)
    )
    assert outlines[("FINDINGS", "IMPRESSION")] > outlines[("IMPRESSION",)] > outlines[()] > 0
    assert outlines[("FINDINGS",)] > 0
    assert sum("INDICATION:" not in report.text for _, report in dictations(100)) > 0


def test_nothing_drawn_is_denied_unless_missed() -> None:
    """A radiologist may overlook a subtle finding, and then says it is not there; never a plain one."""
    for case, report in dictations(400, normal=0.0):
        plain = {finding.name for finding in case.findings if finding.severity != "subtle"}
        denied = {triplet.pathology for triplet in report.triplets if triplet.existence == "absent"}
        assert not plain & denied


def test_present_findings_are_drawn_or_their_signs() -> None:
    signs = {
        "opacity",
        "blunting",
        "interstitial opacity",
        "hyperinflation",
        "vascular congestion",
        "consolidation",
        "infiltrate",
    }
    for case, report in dictations(400):
        drawn = {finding.name for finding in case.findings}
        present = {triplet.pathology for triplet in report.triplets if triplet.existence == "present"}
        assert present - signs - drawn <= {"normal"}


def test_most_drawn_findings_are_reported() -> None:
    told, drawn, hedged = 0, 0, 0
    for case, report in dictations(500, normal=0.0):
        if "FINDINGS" in report.text:
            existence = {triplet.pathology: triplet.existence for triplet in report.triplets}
            drawn += len(case.findings)
            told += sum(existence.get(finding.name) in ("present", "uncertain") for finding in case.findings)
            hedged += sum(existence.get(finding.name) == "uncertain" for finding in case.findings)
    assert told / drawn > 0.95
    assert 0.03 < hedged / drawn < 0.2


def test_both_sides_are_two_triplets() -> None:
    rng = np.random.default_rng(2)
    case = case_with(rng, Finding("pleural effusion", ("left pleura", "right pleura"), "severe", 1, "both"))
    seen = Counter()
    for _ in range(100):
        report = dictate(case, rng)
        pleura = {t.anatomy for t in report.triplets if t.pathology == "pleural effusion"}
        assert pleura <= {"left pleura", "right pleura", "left costophrenic angle", "right costophrenic angle"}
        assert {name.replace("left", "right") for name in pleura if "left" in name} == {
            n for n in pleura if "right" in n
        }
        seen.update(pleura)
    assert seen["left pleura"] > 70


def test_words_and_truth_agree_without_slips() -> None:
    """An effusion that is told is spelled out, and its severity word stands in the text."""
    words = wording()["severities"]["sized"]
    rng = np.random.default_rng(4)
    case = case_with(rng, Finding("pleural effusion", ("left pleura",), "moderate", 1, "left"))
    for _ in range(60):
        report = dictate(case, rng)
        if TrueTriplet("pleural effusion", "left pleura", "present", "moderate") in report.triplets:
            assert re.search("|".join(words["moderate"]), report.text, flags=re.I)
            assert re.search(r"left|side", report.text)


def test_sentences_seldom_repeat() -> None:
    said = Counter(
        sentence for _, report in dictations(500, normal=0.0) for sentence in re.split(r"(?<=\.)\s+", body(report.text))
    )
    positives = {
        s: n
        for s, n in said.items()
        if re.search(r"effusion|nodule|pneumothorax|infiltrate|mass\b", s) and " no " not in s.lower()
    }
    assert sum(n for n in positives.values() if n == 1) > 0.8 * sum(positives.values())


def test_there_are_enough_frames_and_words() -> None:
    content = wording()
    statements = content["statements"]
    courses = [frame for course, frames in statements.items() if course != "present" for frame in frames]
    devices = [frame for frames in content["devices"].values() for frame in frames]
    for frames in (
        statements["present"],
        courses,
        content["resolved"],
        content["uncertain"],
        content["denials"],
        devices,
    ):
        assert len(set(frames)) >= 25
    for name in SEEN:
        entry = content["findings"][name]
        words = {
            word for key in ("names", "mass", "plurals", "side_mass", "clauses", "looks") for word in entry.get(key, ())
        }
        assert len(words) >= 2, name


def test_some_reports_are_mistyped_and_marks_stay() -> None:
    texts = [report.text for *_, report in follow_ups(300)]
    words = Counter(word for text in texts for word in re.findall(r"[a-z]{5,}", text))
    rare = [word for word, count in words.items() if count == 1]
    assert len(rare) > 40
    assert sum("___" in text for text in texts) > 250
    assert not any(re.search(r"(?<!_)_{1,2}(?!_)|_{4,}", text) for text in texts)


COMPARING = (
    r"unchanged|stable|similar to|as before|again|persist|compared|comparison with|interval (?!f)|\bnew\b|newly"
    r"|has developed|have developed|no longer|remain|than on|same appearance|resolved|cleared|removed|\bsince\b"
)


def follow_ups(count: int) -> list[tuple[Case, Case | None, Dictation]]:
    visits = sample_cohort(np.random.default_rng(21), count)
    earlier = [visits[i - 1].case if visit.number else None for i, visit in enumerate(visits)]
    rng = np.random.default_rng(22)
    return [(v.case, before, dictate(v.case, rng, before)) for v, before in zip(visits, earlier, strict=True)]


def header(text: str) -> str:
    return " ".join(re.split(r"^ (?:FINDINGS|IMPRESSION): ", text, flags=re.M)[0].split())


def test_a_first_study_compares_with_nothing() -> None:
    first = [report.text for _, before, report in follow_ups(500) if before is None]
    named = [re.sub("(Comparison is made with|radiograph compared to) ", "", body(text)) for text in first]
    assert not [text for text in named if re.search(COMPARING, text, flags=re.I)]
    assert any("No priors available" in text for text in first)


def test_what_is_said_of_priors_agrees() -> None:
    for _, before, report in follow_ups(600):
        named = re.search("COMPARISON: (___|Chest radiograph|Multiple)", header(report.text))
        none = re.search("COMPARISON: N", header(report.text)) or "No priors available" in report.text
        compared = re.search("Comparison is made|radiograph compared", body(report.text))
        assert not (none and (named or compared or before is not None))


def test_courses_follow_the_earlier_study() -> None:
    """An effusion of the same side: new, as it was, larger or smaller; the impression says nothing else."""
    rng = np.random.default_rng(4)
    opposite = {
        "appeared": "unchanged|stable|again|persist|larger|increas|worse|progress|decreas|improve|lessen|diminish",
        "stable": r"\bnew\b|newly|development|increas|worse|progress|decreas|improve|lessen|diminish",
        "grown": r"\bnew\b|newly|unchanged|stable|decreas|improve|lessen|diminish|less conspicuous",
        "shrunk": r"\bnew\b|newly|unchanged|stable|increas|worse|progress|more conspicuous",
    }
    for before, course in ((None, "appeared"), ("moderate", "stable"), ("mild", "grown"), ("severe", "shrunk")):
        old = () if before is None else (Finding("pleural effusion", ("left pleura",), before, 1, "left"),)
        earlier = case_with(rng, *old)
        now = replace(earlier, findings=(Finding("pleural effusion", ("left pleura",), "moderate", 2, "left"),))
        told = [s for _ in range(120) for s in re.split(r"\.\s", body(dictate(now, rng, earlier).text))]
        told = [s for s in told if re.search("left.*effusion|effusion.*left", s) and not re.search(r"\b[Nn]o\b", s)]
        assert len(told) > 60
        assert not [s for s in told if re.search(opposite[course], s, flags=re.I)]
        assert sum(bool(re.search(COMPARING, s, flags=re.I)) for s in told) > 20


def test_no_change_is_said_where_nothing_changed() -> None:
    said = [
        (case, before)
        for case, before, report in follow_ups(3000)
        if re.search(r"No (significant interval|relevant) change\.", body(report.text))
    ]
    assert said
    for case, before in said:
        assert before is not None
        assert {f.name for f in case.findings} == {f.name for f in before.findings}


def test_what_is_gone_was_there() -> None:
    content = wording()
    gone = Counter[bool]()
    for case, before, report in follow_ups(600):
        if re.search("has been removed|have been removed|Interval resolution|Resolved", body(report.text)):
            assert before is not None
            gone[bool({f.name for f in before.findings} - {f.name for f in case.findings})] += 1
    assert set(gone) == {True}
    assert "resolvable" not in content


def test_what_is_in_doubt_is_not_denied() -> None:
    for _, _, report in follow_ups(1000):
        existences = {
            name: {t.existence for t in report.triplets if t.pathology == name} for name in ("pneumonia", "atelectasis")
        }
        assert not any({"uncertain", "absent"} <= said for said in existences.values()), body(report.text)


def test_a_film_with_a_suspicion_is_not_called_normal() -> None:
    for _, _, report in follow_ups(2500):
        if any(triplet.existence == "uncertain" for triplet in report.triplets):
            assert not re.search(r"(Normal|Unremarkable)( radiograph of the)? chest", body(report.text))


def test_remarks_fit_the_film() -> None:
    for case, _, report in follow_ups(1000):
        text, film = body(report.text), case.acquisition
        if "otated" in text or "rotation" in text:
            assert abs(film.rotation) > 0.5
        if re.search("adequate", text):
            assert film.inspiration >= 0
        if re.search("[Pp]ortable|Single frontal|when the patient is able", report.text):
            assert case.view == "AP"
        if re.search("(PA and lateral|Frontal and lateral) (views|radiographs) of the chest", report.text):
            assert case.view == "PA"


def test_devices_lie_where_they_are_drawn() -> None:
    rng = np.random.default_rng(3)
    tube = Finding("endotracheal tube", ("trachea",), "severe", 77)
    said = re.findall(r"(\d\.\d) cm", " ".join(body(dictate(case_with(rng, tube), rng).text) for _ in range(60)))
    assert set(said) == {f"{44 * tube_height(tube):.1f}"}
    for seed in range(12):
        line = Finding("central venous catheter", ("superior vena cava",), "severe", seed, "left")
        text = " ".join(body(dictate(case_with(rng, line), rng).text) for _ in range(20))
        other = {"jugular": "subclavian", "subclavian": r"jugular|\bIJ\b"}[vein_of(line)]
        assert not re.search(other + "|atri", text)


def test_low_volumes_are_not_called_well_expanded() -> None:
    rng = np.random.default_rng(3)
    case = case_with(rng, Finding("low lung volumes", ("lung",), "severe", 1, "both"))
    assert not any("expanded" in body(dictate(case, rng).text) for _ in range(150))


def test_grammar() -> None:
    """Articles, agreement and doubled words."""
    slips = (
        r"\ba (enlarged|opacity|effusion|infiltrate)"
        r"|There is no (\w+ )?(effusions|infiltrates|nodules|pneumothoraces)\b"
        r"|(effusions|opacities|infiltrates) (has|persists|remains)\b|\blung lung\b|tiny[\w -]* mass\b"
        r"|can be (present|evident)|yesterday"
    )
    for _, _, report in follow_ups(800):
        assert not re.search(slips, body(report.text)), body(report.text)


def test_a_finding_without_words_is_an_error() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=UNSEEN):
        dictate(case_with(rng, Finding(UNSEEN, ("lung",), "severe", 1, "both")), rng)
