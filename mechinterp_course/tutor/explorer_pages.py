"""What the feature explorer shows, as plain data: rows that fit a search, in an order, and the page of one feature.

It decides nothing about looks: `explorer.js` and `explorer_static` draw. Reads a `FeatureTable` and nothing else of the course.
"""

import numpy as np

from ..errors import CourseError, unknown
from ..interp.feature_contexts import TOP
from ..interp.feature_table import STEPS, FeatureTable
from ..interp.plots import visible

ORDERS = {
    "score": "rule's score (F1)",
    "frequency": "frequency",
    "effect": "logit effect",
    "activation": "largest activation",
    "number": "number",
}
PEAKS = 3  # tokens in a row that say on what a feature is strongest


class Index:
    """A table made ready for searching and sorting."""

    def __init__(self, table: FeatureTable):
        self.table = table
        flat = table.ids.reshape(-1)
        strongest = table.context_token[:, :TOP]
        self.peaks = np.where(strongest >= 0, flat[strongest.clip(min=0)], -1)  # (feature, place): token ids
        self.words = {i: text.strip().lower() for i, text in table.texts.items()}
        self.shown = {i: visible(text) for i, text in table.texts.items()}
        effects = np.abs(table.effect).max(1, initial=0)
        keys = {"score": table.f1, "frequency": table.count, "effect": effects, "activation": table.most}
        self.keys = keys | {"number": np.arange(len(table))}

    def find(self, query: str = "", order: str = "score", falling: bool = True) -> tuple[np.ndarray, dict[int, str]]:
        """(features in order, why each fits): those of which the number, a token or the rule fits the query; all, if it is empty.

        A token fits where it is the whole word asked for, whatever its spaces and capitals. Of equal features the lower number is first.
        """
        if order not in self.keys:
            raise unknown("order", str(order), ORDERS)
        key = self.keys[order]
        ranked = np.argsort(-key if falling else key, kind="stable")
        query = query.strip()
        if not query:
            return ranked, {}
        why = self._why(query)
        found = [int(i) for i in ranked if int(i) in why]
        if query.lstrip("#").isdigit() and int(query.lstrip("#")) < len(self.table):
            number = int(query.lstrip("#"))
            found = [number, *(i for i in found if i != number)]
        return np.array(found, dtype=np.int64), why

    def _why(self, query: str) -> dict[int, str]:
        """{feature: how it fits}; a later reason is the stronger one."""
        table, word = self.table, query.lower()
        tokens = [i for i in self.words if word == self.words[i] or query == self.shown[i]]
        rules = [i for i, says in enumerate(table.says) if word in says.lower()]
        why = dict.fromkeys(
            np.flatnonzero(np.isin(table.effect_token[:, : table.effect.shape[1] // 2], tokens).any(1)).tolist(),
            "writes it",
        )
        why |= dict.fromkeys(np.flatnonzero(np.isin(table.label, rules)).tolist(), "")
        return why | dict.fromkeys(np.flatnonzero(np.isin(self.peaks, tokens).any(1)).tolist(), "strong on it")

    def rows(self, features, why: dict[int, str] | None = None) -> list[dict]:
        """What the list shows of each of some features."""
        return [self._row(int(i), (why or {}).get(int(i), "")) for i in features]

    def _row(self, i: int, why: str) -> dict:
        table = self.table
        label = table.label_of(i)
        peaks = list(dict.fromkeys(self.shown[int(t)] for t in self.peaks[i] if t >= 0))
        return {
            "id": i,
            "peaks": peaks[:PEAKS],
            "rule": label.says if label else "",
            "explained": bool(label and label.f1 >= table.about["explained"]),
            "f1": round(label.f1, 3) if label else None,
            "count": int(table.count[i]),
            "density": percent(float(table.density[i])),
            "most": number(float(table.most[i])),
            "effect": number(float(self.keys["effect"][i])),
            "why": why,
        }

    def page(self, feature: int) -> dict:
        """All that the page of one feature shows."""
        table, row = self.table, self._row(table_number(self.table, feature), "")
        i = row["id"]
        pro, contra = table.effects(i)
        label = table.label_of(i)
        return row | {
            "mean": number(float(table.mean[i])),
            "scale": float(table.most[i]) / STEPS,
            "histogram": table.histogram[i].tolist(),
            "label": None if label is None else _label(label, float(table.most[i])),
            "writes": [[[visible(e.token), round(e.logit, 4)] for e in side] for side in (pro, contra)],
            "near": [[n, f"{c:.2f}".replace("-", "−"), self._row(n, "")] for n, c in table.neighbours(i)],
            "contexts": [
                {
                    "band": place.band,
                    "file": place.file,
                    "at": place.at,
                    "opens": place.opens,
                    "tokens": place.tokens,
                    "steps": np.round(place.values / max(float(table.most[i]), 1e-30) * STEPS).astype(int).tolist(),
                }
                for place in table.contexts(i)
            ],
        }


def table_number(table: FeatureTable, feature) -> int:
    """The number of a feature, from what a page or a person sent."""
    if isinstance(feature, bool) or not isinstance(feature, (int, np.integer)):
        raise CourseError(f"A feature is a whole number, and this is {feature!r}.", f"Give 0 to {len(table) - 1}.")
    return table.need(feature)


def _label(label, most: float) -> dict:
    figures = {name: round(getattr(label, name), 3) for name in ("precision", "recall", "f1")}
    baselines = {"neuron": label.neuron_f1, "random": label.random_f1}
    return {
        "says": label.says,
        "yes": "wherever it is active" if label.threshold < 1e-9 else f"at {number(label.threshold)} and above",
        "cut": label.threshold / most if most else 0.0,  # where the threshold stands in the histogram, from 0 to 1
        **figures,
        **{name: None if np.isnan(f1) else round(f1, 3) for name, f1 in baselines.items()},
    }


def heading(table: FeatureTable) -> dict:
    """What stands above the list."""
    told, about = table.summary(), table.about
    share = f"{told['explained by a rule']:,} explained by a rule (F1 ≥ {about['explained']:g} on files it was not chosen on)"
    named = {"neurons": "neurons", "directions": "random directions"}
    beside = [
        f"{told[f'{kind} explained by a rule']:,} of {told[kind]:,} {what}"
        for kind, what in named.items()
        if kind in told
    ]
    share += f"; so are {' and '.join(beside)}" if beside else ""
    return {
        "name": table.name,
        "hook": about["hook"],
        "size": len(table),
        "counts": f"{told['features']:,} features on {about['tokens']:,} tokens of {about['files']} files; "
        f"{about['l0']:g} active on a token; {told['never active']:,} never active; {share}",
        "how": about["how"],
        "effects": "added to the logit by one unit of the feature, directly: decoder direction through the final norm's weight "
        f"(at its mean scale, {about['final scale']:g}) and W_U, minus the mean over the vocabulary",
    }


def percent(share: float) -> str:
    """A share as a percentage with two digits that count: "1.9 %", "0.034 %"."""
    return f"{number(100 * share)} %"


def number(value: float) -> str:
    """A number with two or three digits that count, and a true minus sign."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"
    return text.replace("-", "−") if "e" not in text else f"{value:.6f}".rstrip("0").replace("-", "−")
