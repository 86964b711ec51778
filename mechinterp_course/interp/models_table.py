"""The tables of models and of sparse autoencoders in the README, written from their cards: markdown.

Must not import torch, TransformerLens, or anything of courses and notebooks.
"""

from numbers import Real

COLUMNS = ["Model", "Form", "Parameters", "Size", "Loss", "Behaviours"]


def table(cards: list[dict]) -> str:
    """Return a row of markdown for each card, under the names of the columns. What a card does not say stays empty."""
    rows = [COLUMNS, ["---", "---", "---:", "---:", "---", "---"]]
    for card in cards:
        size = f"{card['bytes'] / 1e6:.1f} MB" if "bytes" in card else ""
        form = card.get("form", "").split(":")[0].split(";")[0]
        parameters = f"{card['parameters']:,}" if "parameters" in card else ""
        rows.append([f"`{card['name']}`", form, parameters, size, _loss(card.get("loss", {})), _behaviours(card)])
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


SAE_COLUMNS = ["SAE", "Reads", "Size", "L0", "Variance explained", "Loss recovered (mean, zero)", "Dead"]


def table_of_saes(cards: list[dict]) -> str:
    """Return a row of markdown for each card of a sparse autoencoder."""
    rows = [SAE_COLUMNS, ["---", "---", "---:", "---:", "---:", "---:", "---:"]]
    for card in cards:
        measured, recovered = card["figures"], card["figures"]["loss_recovered"]
        reads = f"`{card['model']}`, `{card['hook_name']}`"
        shares = f"{recovered['mean']:.3f}, {recovered['zero']:.3f}"
        cells = [f"`{card['name']}`", reads, f"{card['bytes'] / 1e6:.1f} MB", _number(measured["l0"])]
        rows.append([*cells, f"{measured['variance_explained']:.3f}", shares, f"{measured['dead_fraction']:.1%}"])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _loss(losses: dict) -> str:
    """Return the loss on data that the model has never seen: a number, or what a code model's card says of a split."""
    test = losses.get("test", losses.get("validation"))
    if isinstance(test, Real):
        return f"{_number(test)} nats"
    if not test:
        return ""
    return f"{_number(test['nats_per_token'])} nats a token, {_number(test['bits_per_byte'])} bits a byte"


def _behaviours(card: dict) -> str:
    """Return what was measured, in words: accuracy, heads, and each behaviour that is one number or a row of numbers."""
    measured = card.get("behaviours", {})
    said = [f"test accuracy {_number(card['accuracy']['test'])}"] if "test" in card.get("accuracy", {}) else []
    said += _heads(measured)
    for name, entry in measured.items():
        value = entry.get("value") if isinstance(entry, dict) else entry
        numbers = value if isinstance(value, list) else [value]
        if not name.startswith("previous_token") and numbers and all(_is_number(number) for number in numbers):
            said.append(f"{name.replace('_', ' ')} {', '.join(map(_number, numbers))}")
    return "; ".join(said)


def _heads(measured: dict) -> list[str]:
    """Return what repeated random tokens show, at the first length that was tried, with the best head of each kind."""
    tried = measured.get("repeated_tokens")
    if not tried:
        return []
    found = next(iter(tried.values()))
    said = [f"{role.replace('_', ' ')} {_best(found[role])}" for role in ("previous_token", "induction")]
    without = measured.get("without_previous_token_head", {}).get("repeated_tokens")
    if without:
        induction = next(iter(without.values()))["induction"]
        said.append(f"induction without the previous-token head {_number(max(head['score'] for head in induction))}")
    return [*said, f"loss on the repeat {_number(found['gain'])} nats lower"]


def _best(layers: list[dict]) -> str:
    """Return the best score of one {head, score} a layer, and which head has it."""
    layer = max(range(len(layers)), key=lambda layer: layers[layer]["score"])
    return f"{_number(layers[layer]['score'])} (head {layer}.{layers[layer]['head']})"


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _number(value: float) -> str:
    return f"{value:.3g}"
