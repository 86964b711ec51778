"""A table of features made by hand, for tests of what reads one: 60 features on two files, without a model."""

import numpy as np

from mechinterp_course.interp.feature_table import AFTER, BEFORE, EFFECTS, FeatureTable

WORDS = ["self", " self", "\n", "    ", " x", "(", "<b>", '"', " return", "é"]
DEAD, UNEXPLAINED = 59, 58


def planted_table(name: str = "planted") -> FeatureTable:
    """Feature i is strongest on WORDS[i % 10]; rule i % 3 explains it, but for UNEXPLAINED and DEAD. Larger numbers are rarer."""
    draw = np.random.default_rng(0)
    n, windows, length = 60, 6, 40
    ids = draw.integers(len(WORDS), size=(windows, length))
    counts = np.arange(120, 120 - 2 * n, -2)
    counts[DEAD] = 0
    context = np.full((n, 15), -1)
    values = np.zeros((n, 15, BEFORE + 1 + AFTER), dtype=np.uint8)
    for feature in range(n - 1):
        places = np.flatnonzero(ids.reshape(-1) == feature % len(WORDS))[:15]
        context[feature, : len(places)] = places
        values[feature, : len(places), BEFORE] = np.linspace(255, 20, 15)[: len(places)]
    f1 = np.where(counts > 0, np.linspace(0.99, 0.51, n), 0).astype(np.float16).astype(np.float32)
    f1[UNEXPLAINED] = 0.25
    label = np.where(counts > 0, np.arange(n) % 3, -1)
    effects = np.sort(draw.normal(size=(n, EFFECTS)))[:, ::-1]
    half = lambda array: np.asarray(array).astype(np.float16).astype(np.float32)  # noqa: E731
    return FeatureTable(
        about={
            **{"name": name, "hook": "blocks.1.hook_resid_post", "layer": 1, "tokens": ids.size, "files": 2},
            **{"l0": 3.5, "explained": 0.5, "how": "by hand", "final scale": 2.0},
        },
        texts=dict(enumerate(WORDS)),
        ids=ids,
        files=["one.py", "two.py"],
        file_of=np.array([0, 0, 0, 1, 1, 1]),
        count=counts,
        mean=half(np.where(counts > 0, 1.5, 0)),
        most=half(np.where(counts > 0, np.linspace(12, 3, n), 0)),
        histogram=np.where(counts[:, None] > 0, np.arange(20, 0, -1), 0),
        context_token=context,
        context_band=np.broadcast_to(np.repeat([0, 1, 2, 3], [6, 3, 3, 3]), context.shape).astype(np.int64),
        context_values=values,
        effect_token=draw.integers(len(WORDS), size=(n, 2 * EFFECTS)),
        effect=half(np.concatenate([np.abs(effects), -np.abs(effects)], axis=1)),
        near=(np.arange(n)[:, None] + np.arange(1, 7)) % n,
        cosine=half(np.broadcast_to(np.linspace(0.9, 0.1, 6), (n, 6))),
        rules=["in_docstring", "token self", "after ("],
        says=["part of a docstring", "the token self", "right after ("],
        label=label,
        threshold=half(np.where(counts > 0, 2.5, 0)),
        precision=f1,
        recall=f1,
        f1=f1,
        rule_best=half([[0.99, 0.98, 0.97], [0.6, 0.5, 0.4], [0.3, 0.2, 0.1]]),
        rule_feature=np.array([0, 1, 2]),
        baseline_f1={"neurons": half([0.6, 0.2]), "directions": half([0.3, 0.1])},
    )
