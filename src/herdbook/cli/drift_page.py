"""The report of `herdbook drift check` as one page that needs nothing else, and runs no script."""

from typing import Final

from herdbook.cli.drift_plots import bars, cumulative, text
from herdbook.cli.drift_words import conclusion, notes, rounded
from herdbook.core.checking import Apart, Check, ColumnCheck, Counted, Verdict

_STYLE: Final = """\
:root { --ink: #1c1c1c; --paper: #fff; --faint: #6a6a6a; --rule: #d8d8d8; --r: #0072b2;
  --c: #d55e00; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #161616; --faint: #a0a0a0;
  --rule: #3a3a3a; --r: #56b4e9; --c: #e69f00; --bad: #ff8a80; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--rule); }
th, td { white-space: nowrap; } .wide { overflow-x: auto; }
td:first-child { white-space: normal; min-width: 9rem; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
section { border-top: 2px solid var(--rule); margin-top: 1.5rem; }
.drift { color: var(--bad); font-weight: 600; } .faint { color: var(--faint); }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
svg text { font-size: 9px; fill: var(--faint); } svg line { stroke: var(--rule); }
rect.r { fill: var(--r); } rect.c { fill: var(--c); }
polyline { fill: none; stroke-width: 1.6; } polyline.r { stroke: var(--r); }
polyline.c { stroke: var(--c); }
i { display: inline-block; width: .8em; height: .8em; } i.r { background: var(--r); }
i.c { background: var(--c); }
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def page(found: Check) -> str:
    """Write the page. Names and categories in it are anybody's, and are escaped."""
    title = f"Drift: {text(found.current)} against {text(found.reference)}"
    told = "".join(f"<li>{text(note)}</li>" for note in notes(found))
    sections = "".join(_section(at, each) for at, each in enumerate(found.columns))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{title}</h1><p><strong>{text(conclusion(found))}</strong></p>"
        f"<p class='faint'>{_meaning(found)}</p>"
        f"<p><i class='r'></i> reference, <i class='c'></i> now</p>"
        f"{_overview(found)}<ul>{told}</ul>{sections}</body></html>\n"
    )


def _meaning(found: Check) -> str:
    limits = found.limits
    return (
        f"A column drifts when its distance is at least its threshold ({limits.threshold:g}: "
        "Kolmogorov-Smirnov of numbers, Jensen-Shannon of categories) and its p-value, corrected "
        f"for all that is tested, is below {limits.significance:g}; or when the share of missing "
        f"values changes by {limits.missing_jump:.0%} and more."
    )


def _overview(found: Check) -> str:
    rows = "".join(
        f"<tr><td><a href='#c{at}'>{text(each.column)}</a></td><td>{_said(each)}</td>"
        f"{_cells(rounded(each.distance), rounded(each.p_value), rounded(each.psi))}"
        f"{_cells(f'{each.current.missing_share:.1%}', f'{each.reference.values:,}')}"
        f"{_cells(f'{each.current.values:,}')}</tr>"
        for at, each in enumerate(found.columns)
    )
    heads = ("Distance", "p", "PSI", "Missing", "Reference", "Now")
    head = "<th>Column</th><th>Said</th>" + "".join(f"<th class='n'>{h}</th>" for h in heads)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<div class='wide'>{table}</div>"


def _cells(*texts: str) -> str:
    return "".join(f"<td class='n'>{cell}</td>" for cell in texts)


def _said(each: ColumnCheck) -> str:
    mark = "drift" if each.verdict is Verdict.DRIFT else "faint"
    return f"<span class='{mark}'>{text(str(each.verdict).replace('_', ' '))}</span>"


def _section(at: int, each: ColumnCheck) -> str:
    plots = bars(each.shape) + cumulative(each.shape) if each.shape.labels else ""
    moved = "".join(
        f"<li>{text(move.what)}: {move.reference:.1%} → {move.current:.1%}</li>"
        for move in each.moved
    )
    return (
        f"<section id='c{at}'><h2>{text(each.column)}</h2><p>{_said(each)}: {text(each.why)}</p>"
        f"<div class='plots'>{plots}</div><ul>{moved}</ul>{_figures(each)}</section>"
    )


def _figures(each: ColumnCheck) -> str:
    known = {
        "KS": each.ks,
        "PSI": each.psi,
        "Jensen-Shannon": each.js,
        "Wasserstein, in sd": each.wasserstein,
        "chi-square by degrees": each.chi_square,
        **(_vectors(each.apart) if each.apart else {}),
    }
    told = [f"{name} {rounded(value)}" for name, value in known.items() if value is not None]
    sides = (("reference", each.reference), ("now", each.current))
    told += [_side(name, side) for name, side in sides]
    return f"<p class='faint'>{'; '.join(told)}</p>"


def _vectors(apart: Apart) -> dict[str, float]:
    return {
        "dimensions": apart.dimensions,
        "AUC": apart.auc,
        "its standard error": apart.auc_error,
        "MMD squared": apart.mmd,
        "p of that": apart.mmd_p,
    }


def _side(name: str, side: Counted) -> str:
    known = [f"{side.values:,} values", f"{side.missing:,} missing"]
    if side.mean is not None and side.sd is not None:
        known.append(f"mean {rounded(side.mean)} ± {rounded(side.sd)}")
    if side.low is not None and side.high is not None:
        known.append(f"{rounded(side.low)} to {rounded(side.high)}")
    return f"{name}: {', '.join(known)}"
