"""What the features of a sparse autoencoder do, measured: when they are active, how strongly, what they write, which rule fits.

Everything takes any object with `encode`, `W_dec` and `hook_name` (`saes.SAE`), on any TransformerBridge. `table` measures all features at
once; the parts stand in modules of their own: `feature_sample` (the text), `feature_contexts` (arrays), `feature_rules` and
`feature_scores` (rules, judged), `feature_table` (what is kept). Must not import TransformerLens, and draws nothing.

    python -m mechinterp_course.interp.features NAME ... [--text FOLDER]    builds the tables of bundled SAEs again
"""

import argparse

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import feature_contexts, feature_scores, feature_table
from mechinterp_course.interp.feature_contexts import Firing
from mechinterp_course.interp.feature_rules import rules
from mechinterp_course.interp.feature_sample import Sample, code_sample, layer_of, read, text_sample
from mechinterp_course.interp.feature_table import FeatureTable

CHUNK = 4096  # tokens that are encoded at once
ENGLISH_WINDOWS = 400  # of English text in the table of a bundled SAE


# --- all at once --------------------------------------------------------------------------------------------------------


def table(
    sae,
    model,
    sample: Sample,
    *,
    name: str,
    hook: str | None = None,
    baselines: bool = True,
    longest: float | None = None,
) -> FeatureTable:
    """Measure every feature of an SAE on a sample, and return the table that the explorer shows.

    name: what the table is called. hook: where the SAE reads, by default `sae.hook_name`. baselines: also score the neurons of the MLP of
    that layer, and as many random directions (without an MLP, four for each dimension). Logit effects are the direct ones, through the
    final norm's weight and W_U, one unit of the feature at the mean scale of the final norm. longest: no feature counts on a token whose
    activation is longer than so many times the median (in large models a few are, and they hide all else).
    """
    hook = hook or getattr(sae, "hook_name", None)
    if hook is None:
        raise CourseError("The SAE does not say which hook it reads.", 'Say hook="blocks.1.hook_resid_post".')
    held = read(model, sample, hook, neurons=baselines)
    known, firing = rules(sample), fire(sae, held.x, longest)
    scores = {"features": feature_scores.score(firing, known, sample)}
    if baselines:
        if held.neurons is not None:
            scores["neurons"] = feature_scores.score(held.neurons, known, sample)
        count = 4 * held.x.shape[1] if held.neurons is None else held.neurons.shape[1]
        directions = feature_scores.random_directions(count, held.x.shape[1])
        scores["directions"] = feature_scores.score(held.x @ directions.T, known, sample)
    about = {
        "name": name,
        "hook": hook,
        "layer": layer_of(hook),
        "tokens": sample.n_tokens,
        "files": len(set(sample.file_of.tolist())),
        "l0": round(float(firing.density.sum()), 2),
        "explained": feature_scores.EXPLAINED,
        "how": feature_scores.HOW,
    }
    return FeatureTable(
        about=about,
        ids=sample.ids.numpy(),
        files=sample.files,
        file_of=sample.file_of,
        **_activity(firing, sample),
        **_writing(sae, model, sample, about),
        **_rules(scores, known),
    )


def _activity(firing: Firing, sample: Sample) -> dict:
    """The columns about when features are active."""
    places = feature_contexts.contexts(firing, sample.length)
    return {
        "count": firing.count,
        "mean": feature_contexts.mean_active(firing),
        "most": feature_contexts.strongest(firing),
        "histogram": feature_contexts.histogram(firing),
        "context_token": places.token,
        "context_band": places.band,
        "context_values": feature_contexts.values_around(
            firing, places.token, sample.length, feature_table.BEFORE, feature_table.AFTER
        ),
    }


def _writing(sae, model, sample: Sample, about: dict) -> dict:
    """The columns about directions, and the texts of all tokens that the table shows."""
    near, cosine = nearest(sae.W_dec, feature_table.NEIGHBOURS)
    found = {"near": near.numpy(), "cosine": _half(cosine)}
    if sae.W_dec.shape[1] != model.cfg.d_model:
        raise CourseError(
            f"The decoder writes {sae.W_dec.shape[1]} numbers, and the residual stream has {model.cfg.d_model}.",
            "Take an SAE of the residual stream, or of what a layer adds to it (hook_mlp_out, hook_attn_out).",
        )
    about["final scale"] = round(final_scale(model, sample), 3)
    top = []
    for directions in sae.W_dec.detach().split(512):
        effects = logit_effects(model, directions, about["final scale"])
        for sign in (1, -1):
            best = (sign * effects).topk(feature_table.EFFECTS, dim=1)
            top.append((best.indices, sign * best.values))
    for key, part in (("effect_token", 0), ("effect", 1)):
        pro, contra = torch.cat([t[part] for t in top[0::2]]), torch.cat([t[part] for t in top[1::2]])
        found[key] = torch.cat([pro, contra], dim=1)
    shown = np.union1d(found["effect_token"].numpy(), sample.ids.numpy())
    found["texts"] = {int(i): sample.texts.get(int(i)) or sample.decode(int(i)) for i in shown}
    return found | {"effect_token": found["effect_token"].numpy(), "effect": _half(found["effect"])}


def _rules(scores: dict, known) -> dict:
    """The columns about rules."""
    own, kinds = scores["features"], ("features", "neurons", "directions")
    nothing = np.full(len(known), np.nan)
    return {
        "rules": known.names,
        "says": known.says,
        "label": own.rule,
        "threshold": np.where(own.rule >= 0, own.threshold, 0).astype(np.float32),
        **{figure: _half(getattr(own, figure)) for figure in ("precision", "recall", "f1")},
        "rule_best": _half(np.stack([scores[k].best_f1 if k in scores else nothing for k in kinds])),
        "rule_feature": own.best_unit,
        "baseline_f1": {kind: _half(s.f1) for kind, s in scores.items() if kind != "features"},
    }


def _half(values) -> np.ndarray:
    """As float32 numbers that float16 can hold: a table read back is the table that was saved."""
    return np.asarray(values).astype(np.float16).astype(np.float32)


# --- the parts ----------------------------------------------------------------------------------------------------------


def fire(sae, x: Float[Tensor, "token d_in"], longest: float | None = None) -> Firing:
    """Encode activations and keep what is not zero. x: at the SAE's hook, as `feature_sample.read` gives it.

    longest: rows longer than so many times the median row are left out, as if no feature were active there.
    """
    tokens, features, values = [], [], []
    lengths = x.norm(dim=1)
    limit = torch.inf if longest is None else longest * lengths.median()
    for start in range(0, len(x), CHUNK):
        with torch.no_grad():
            f = sae.encode(x[start : start + CHUNK]) * (lengths[start : start + CHUNK, None] <= limit)
        where = f.nonzero()
        tokens.append((where[:, 0] + start).int())
        features.append(where[:, 1].int())
        values.append(f[where[:, 0], where[:, 1]].float())
    return _sorted(torch.cat(tokens), torch.cat(features), torch.cat(values), len(x), sae.W_dec.shape[0])


def _sorted(token: Tensor, feature: Tensor, value: Tensor, n_tokens: int, n_features: int) -> Firing:
    """Entries in the order of tokens, brought into the order of features."""
    order = feature.argsort(stable=True)
    start = np.concatenate([[0], torch.bincount(feature, minlength=n_features).cumsum(0).numpy()])
    return Firing(token[order].numpy(), value[order].numpy(), start, n_tokens)


def logit_effects(
    model, directions: Float[Tensor, "feature d_model"], scale: float = 1.0
) -> Float[Tensor, "feature token"]:
    """What one unit of each direction in the residual stream adds to the logits directly, past all later layers.

    (direction - its mean) / scale * weight of the final norm @ W_U, minus the mean over the vocabulary (softmax does not see it). An
    RMSNorm takes no mean away. scale: the final norm's own division, about the size of the stream there (`final_scale`); 1 leaves
    it out. Raw and processed weights give the same: what processing folds into W_U is multiplied here.
    """
    from mechinterp_course.interp.forward import Norm

    norm = Norm(model.ln_final, model)
    with torch.no_grad():
        if norm.weight is not None:
            directions = directions if norm.rms else directions - directions.mean(-1, keepdim=True)
            directions = directions * norm.weight
        logits = directions @ model.W_U / scale
        return logits - logits.mean(-1, keepdim=True)


def final_scale(model, sample: Sample, windows: int = 32) -> float:
    """By how much the final norm divides the stream: the mean of its scale over the tokens of some windows of the sample."""
    step = max(1, len(sample.ids) // windows)
    with torch.no_grad():
        _, cache = model.run_with_cache(sample.windows[::step], names_filter=["ln_final.hook_scale"])
    return cache["ln_final.hook_scale"][:, 1:].mean().item()


def nearest(
    W_dec: Float[Tensor, "feature d_in"], k: int = 6
) -> tuple[Int[Tensor, "feature k"], Float[Tensor, "feature k"]]:
    """(features, cosines): the k decoder directions with the largest cosine to each, itself left out, largest first."""
    unit = W_dec.detach() / W_dec.detach().norm(dim=1, keepdim=True).clamp_min(1e-12)
    k = min(k, len(unit) - 1)
    found = []
    for start in range(0, len(unit), 1024):
        cosines = unit[start : start + 1024] @ unit.T
        cosines[torch.arange(len(cosines)), torch.arange(start, start + len(cosines))] = -2
        found.append(cosines.topk(k, dim=1))
    return torch.cat([f.indices for f in found]), torch.cat([f.values for f in found])


# --- the bundled ones ---------------------------------------------------------------------------------------------------


def sample_of(card: dict, text: str | None = None) -> Sample:
    """The text that the table of a bundled SAE is made of, by the SAE's card: held out from its training, and free to ship.

    Code: the bundled sample. English: the chapters of the test split of the novels, which alone are in the public domain; `text` is the
    folder with the package files that `english` names.
    """
    from mechinterp_course.interp import english, models

    if card["recipe"]["text"] == "stdlib":
        return code_sample()
    chapters = [(name, t) for name, t in english.read_split("test", text or ".") if name.startswith("austen/")]
    return text_sample(models.tokenizer(card["model"]), chapters, card["recipe"]["width"], most=ENGLISH_WINDOWS)


def build_bundled(name: str, text: str | None = None) -> FeatureTable:
    """Build the table of a bundled SAE and save it in the SAE's folder; the same input on the same machine gives the same bytes."""
    from mechinterp_course.interp import models, sae_catalogue, saes

    card = sae_catalogue.card(name)
    sample = sample_of(card, text)
    found = table(saes.load(name), models.load(card["model"]), sample, name=name, longest=card["recipe"]["longest"])
    found.save(sae_catalogue.folder_of(name) / feature_table.FILE)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the tables of features of bundled SAEs again.")
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--text", help="for English: the folder with the package files")
    asked = parser.parse_args()
    for wanted in asked.names:
        print(wanted, build_bundled(wanted, asked.text).summary())
