"""A table of all features of a sparse autoencoder: all that a feature page shows, computed once, saved as one file, loaded at once.

`features.table` makes it from an SAE, a model and a sample; `load(name)` gives the one that ships with a bundled SAE. Reading one
needs numpy alone: must not import torch or TransformerLens.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp import tasks
from mechinterp_course.interp.feature_contexts import BANDS, around

FORM = 1  # of the file
FILE = "features.npz"  # in the folder of a bundled SAE
BEFORE, AFTER = 24, 12  # tokens of a context around the one it is shown for
STEPS = 255  # activations in contexts are stored as so many steps of the feature's largest one
EFFECTS = 8  # tokens that a feature writes for, and as many against
NEIGHBOURS = 6


class Place(NamedTuple):
    """One context of a feature."""

    file: str
    band: str  # "strongest", "upper third", ...
    tokens: list[str]
    values: np.ndarray  # the activation on each token, to 1/255 of the feature's largest
    at: int  # the token that it was chosen for
    opens: bool  # whether the window begins here: the model saw nothing before these tokens but BOS


class Effect(NamedTuple):
    """What a feature adds to the logit of a token."""

    token: str
    logit: float


class Label(NamedTuple):
    """The rule that fits a feature best, with its figures on the files that it was not chosen on."""

    rule: str  # its name
    says: str
    threshold: float
    precision: float
    recall: float
    f1: float
    neuron_f1: float  # of the neuron that fits this rule best; nan where there are no neurons
    random_f1: float  # of the random direction that fits this rule best


@dataclasses.dataclass(frozen=True)
class FeatureTable:
    """All features of an SAE. Arrays have one entry, or row, a feature; `about` says what was measured on what.

    count: on how many tokens of the sample the activation is above 0. mean: the mean of those activations; most: the largest. histogram: (feature,
    bin) counts in equal steps from 0 to `most`. label, threshold, precision, recall, f1: the best rule (`rules[label]`, -1 for none).
    """

    about: dict
    texts: dict[int, str]  # token id -> its text
    ids: np.ndarray  # (window, length)
    files: list[str]
    file_of: np.ndarray  # (window,)
    count: np.ndarray
    mean: np.ndarray
    most: np.ndarray
    histogram: np.ndarray
    context_token: np.ndarray  # (feature, context): a token of the sample, -1 for none
    context_band: np.ndarray
    context_values: np.ndarray  # (feature, context, BEFORE + 1 + AFTER) uint8
    effect_token: np.ndarray  # (feature, 2 * EFFECTS): the largest first, then the smallest, smallest first
    effect: np.ndarray
    near: np.ndarray  # (feature, neighbour)
    cosine: np.ndarray
    rules: list[str]
    says: list[str]
    label: np.ndarray
    threshold: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    rule_best: np.ndarray  # (kind, rule): F1 of the best feature, neuron and random direction for each rule
    rule_feature: np.ndarray  # (rule,): which feature that is
    baseline_f1: dict[str, np.ndarray]  # "neurons", "directions": F1 of the best rule of each

    def __len__(self) -> int:
        return len(self.count)

    @property
    def density(self) -> np.ndarray:
        """(feature,): the share of the sample's tokens on which each feature is active."""
        return self.count / self.ids.size

    @property
    def name(self) -> str:
        return self.about["name"]

    def need(self, feature: int) -> int:
        """Return the number of a feature, or raise CourseError where there is none of this number."""
        if not isinstance(feature, (int, np.integer)) or not 0 <= feature < len(self):
            raise CourseError(f"{self.name} has no feature {feature}.", f"Give a number from 0 to {len(self) - 1}.")
        return int(feature)

    @property
    def alive(self) -> np.ndarray:
        """(feature,) bool: active on at least one token of the sample."""
        return self.count > 0

    def summary(self) -> dict:
        """Counts in plain numbers: features, dead on this sample, explained by a rule, and the same of neurons and directions."""
        limit = self.about["explained"]
        told = {
            "features": len(self),
            "never active": int((~self.alive).sum()),
            "explained by a rule": int((self.f1 >= limit).sum()),
            "explained by no rule": int((self.alive & (self.f1 < limit)).sum()),
        }
        for kind, f1 in self.baseline_f1.items():
            told[kind] = len(f1)
            told[f"{kind} explained by a rule"] = int((f1 >= limit).sum())
        return told

    def label_of(self, feature: int) -> Label | None:
        """The rule that fits a feature best, or None where it was never active on the files that rules are chosen on."""
        i = self.need(feature)
        rule = int(self.label[i])
        if rule < 0:
            return None
        figures = [float(a[i]) for a in (self.threshold, self.precision, self.recall, self.f1)]
        return Label(self.rules[rule], self.says[rule], *figures, *map(float, self.rule_best[1:, rule]))

    def contexts(self, feature: int) -> Iterator[Place]:
        """The contexts of a feature: the strongest first, then from each third of its active tokens."""
        i, length = self.need(feature), self.ids.shape[1]
        flat = self.ids.reshape(-1)
        for slot, token in enumerate(self.context_token[i].tolist()):
            if token < 0:
                continue
            start, stop = around(token, length, BEFORE, AFTER)
            offset = BEFORE - (token - start)
            steps = self.context_values[i, slot, offset : offset + stop - start]
            yield Place(
                self.files[self.file_of[token // length]],
                BANDS[self.context_band[i, slot]],
                [self.texts[int(t)] for t in flat[start:stop]],
                steps.astype(np.float32) / STEPS * self.most[i],
                token - start,
                start % length == 0,
            )

    def effects(self, feature: int) -> tuple[list[Effect], list[Effect]]:
        """(for, against): the tokens whose logits one unit of the feature raises most, and those it lowers most."""
        i = self.need(feature)
        both = [Effect(self.texts[int(t)], float(v)) for t, v in zip(self.effect_token[i], self.effect[i], strict=True)]
        half = len(both) // 2
        return both[:half], both[half:]

    def neighbours(self, feature: int) -> list[tuple[int, float]]:
        """(feature, cosine) of the features whose decoder directions are nearest, nearest first."""
        i = self.need(feature)
        return [(int(n), float(c)) for n, c in zip(self.near[i], self.cosine[i], strict=True)]

    # --- files ------------------------------------------------------------------------------------------------------

    def save(self, file: str | Path) -> Path:
        """Write one compressed .npz file; the same table gives the same bytes."""
        arrays, told = {}, {"form": FORM}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                arrays[field.name] = _small(value)
            elif field.name == "baseline_f1":
                arrays |= {f"baseline_f1.{kind}": _small(f1) for kind, f1 in value.items()}
            else:
                told[field.name] = value
        text = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        arrays["told"] = np.frombuffer(text.encode(), dtype=np.uint8)
        file = Path(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            np.savez_compressed(stream, **dict(sorted(arrays.items())))
        return file

    @classmethod
    def load(cls, file: str | Path) -> "FeatureTable":
        """Read a table that `save` wrote. Raises CourseError where the file is none, or of another form."""
        file = Path(file).expanduser()
        if not file.is_file():
            raise CourseError(
                f"There is no table of features in {file}.", "Build one: features.table(sae, model, sample, name=...)"
            )
        try:
            with np.load(file) as stored:
                arrays = {name: stored[name] for name in stored.files}
            told = json.loads(arrays.pop("told").tobytes().decode())
        except (OSError, ValueError, KeyError) as error:
            raise CourseError(f"{file} is not a table of features: {error}.", "Build it again, and save it.") from error
        if told.pop("form") != FORM:
            raise CourseError(f"{file} was written by another release of the course.", "Build it again, and save it.")
        told["texts"] = {int(i): text for i, text in told["texts"].items()}
        kinds = [name for name in arrays if name.startswith("baseline_f1.")]
        baselines = {name.removeprefix("baseline_f1."): arrays.pop(name).astype(np.float32) for name in kinds}
        return cls(**told, **{name: _wide(a) for name, a in arrays.items()}, baseline_f1=baselines)


def _small(array: np.ndarray) -> np.ndarray:
    """The same numbers in less room: each in as few bytes as all of them need."""
    if array.dtype.kind == "f":
        half = array.astype(np.float16)
        return half if np.array_equal(half.astype(array.dtype), array, equal_nan=True) else array
    if array.dtype.kind in "iu" and array.size:
        return array.astype(np.result_type(np.min_scalar_type(array.min()), np.min_scalar_type(array.max())))
    return array


def _wide(array: np.ndarray) -> np.ndarray:
    """Numbers that can be reckoned with: no sum leaves their range."""
    wide = {"f": np.float32, "i": np.int64, "u": np.int64}
    return array if array.dtype == np.uint8 and array.ndim == 3 else array.astype(wide[array.dtype.kind])


# --- the bundled ones ---------------------------------------------------------------------------------------------------


def names() -> list[str]:
    """The names of the bundled SAEs whose tables are there."""
    return sorted(file.parent.name for file in (tasks.ZOO / "saes").glob(f"*/{FILE}"))


def load(name: str) -> FeatureTable:
    """The table of a bundled SAE; an unknown name raises CourseError with the nearest ones."""
    if name not in names():
        raise unknown("table of features for the SAE", name, names(), "For an SAE of your own: features.table(...)")
    return FeatureTable.load(tasks.ZOO / "saes" / name / FILE)
