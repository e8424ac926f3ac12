"""What has become of a patient's findings since the earlier study: courses as a report may state them."""

from pipeline.phantom.scene import FINDINGS, Case, Finding
from pipeline.schemas import SEVERITIES


def course_of(finding: Finding, earlier: Case | None) -> str:
    """How a finding stands to the earlier study.

    Returns:
        appeared | stable | grown | shrunk; or present, where there is nothing to compare or the words would mislead: a
        finding that has changed its place, a device that was set anew, a lasting disease that comes unseen.
    """
    if earlier is None:
        return "present"
    kind = FINDINGS[finding.name]
    before = next((old for old in earlier.findings if old.name == finding.name), None)
    if before is None:
        return "present" if kind.lasting and not kind.device else "appeared"
    if before == finding:
        return "stable"
    if kind.device or before.anatomies != finding.anatomies:
        return "present"
    change = SEVERITIES.index(finding.severity) - SEVERITIES.index(before.severity)
    return "grown" if change > 0 else "shrunk" if change < 0 else "stable"


def gone(case: Case, earlier: Case | None) -> list[Finding]:
    """What the earlier study shows and this one does not."""
    drawn = {finding.name for finding in case.findings}
    return [finding for finding in earlier.findings if finding.name not in drawn] if earlier else []


def unchanged(case: Case, earlier: Case | None) -> bool:
    """Whether two studies show the same findings in the same places, and diseases of the same severity."""
    return earlier is not None and _shown(case) == _shown(earlier)


def _shown(case: Case) -> set[tuple[str, tuple[str, ...], str]]:
    return {(f.name, f.anatomies, "" if FINDINGS[f.name].device else f.severity) for f in case.findings}
