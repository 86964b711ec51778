"""The table of models: what a card says stands in its row, and nothing that it does not say is needed."""

import json

from mechinterp_course.interp import tasks
from mechinterp_course.interp.models_table import table

HEAD = "| Model | Form | Parameters | Size | Loss | Behaviours |\n| --- | --- | ---: | ---: | --- | --- |\n"


def row(card: dict) -> list[str]:
    made = table([card])
    assert made.startswith(HEAD) and made.count("\n") == 3
    return [cell.strip() for cell in made.splitlines()[-1].strip("|").split(" | ")]


def test_a_code_model_has_its_loss_in_nats_and_bits():
    loss = {"train": {}, "test": {"nats_per_token": 2.20486, "bits_per_byte": 1.23007}}
    card = {"name": "code", "form": "GPT-2 (x): more", "parameters": 1135872, "bytes": 2328425, "loss": loss}
    assert row(card)[:4] == ["`code`", "GPT-2 (x)", "1,135,872", "2.3 MB"]
    assert row(card)[4] == "2.2 nats a token, 1.23 bits a byte"


def test_accuracy_and_behaviours_of_one_number_or_a_row_of_numbers_are_told():
    measured = {"key_frequencies": {"value": [1, 7], "how": "..."}, "share": {"value": {"1": 0.5}}, "how": "a text"}
    card = {"name": "mod", "loss": {"test": 2.924e-06}, "accuracy": {"test": 1.0}, "behaviours": measured}
    assert row(card)[4:] == ["2.92e-06 nats", "test accuracy 1; key frequencies 1, 7"]


def test_the_heads_of_an_induction_circuit_are_named_by_layer_and_number():
    def scored(previous, induction):
        heads = {"previous_token": [{"head": 1, "score": previous}, {"head": 3, "score": 0.1}]}
        return {
            "50": heads | {"induction": [{"head": 2, "score": 0.01}, {"head": 0, "score": induction}], "gain": 3.21}
        }

    measured = {"previous_token_head": [0, 1], "repeated_tokens": scored(0.99, 0.85)}
    measured["without_previous_token_head"] = {"repeated_tokens": scored(0, 0.098)}
    assert row({"name": "attn", "behaviours": measured})[5] == (
        "previous token 0.99 (head 0.1); induction 0.85 (head 1.0); "
        "induction without the previous-token head 0.098; loss on the repeat 3.21 nats lower"
    )


def test_a_card_that_says_little_has_a_row_and_a_bar_does_not_break_the_table():
    assert row({"name": "new"}) == ["`new`", "", "", "", "", ""]
    assert "one \\| two" in table([{"name": "new", "form": "one | two"}])


def test_every_bundled_card_has_a_full_row_up_to_its_behaviours():
    cards = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(tasks.ZOO.glob("*/card.json"))]
    assert cards
    assert all(all(row(card)[:5]) for card in cards)
