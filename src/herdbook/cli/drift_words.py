"""What `herdbook drift check` says on a terminal and on its page alike."""

from herdbook.cli.output import line, number
from herdbook.core.checking import Check, Verdict


def rounded(value: float | None) -> str:
    """Write a figure with three digits that count."""
    return number(None if value is None else float(f"{value:.3g}"))


def notes(found: Check) -> list[str]:
    """Say which columns were not compared, and why."""
    told = [f"Not compared: {line(name)}, {line(why)}." for name, why in found.left_out.items()]
    for only, file in (
        (found.only_reference, found.reference),
        (found.only_current, found.current),
    ):
        if only:
            told.append(f"Only in {line(file)}: {', '.join(map(line, only))}.")
    return told


def conclusion(found: Check) -> str:
    """Sum it up in a sentence."""
    verdicts = [each.verdict for each in found.columns]
    few = verdicts.count(Verdict.INSUFFICIENT)
    said = f"{len(found.drifted)} of {len(verdicts)} columns drifted"
    return said + (f"; of {few} too little is known to say." if few else ".")
