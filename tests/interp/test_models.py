"""The bundled models: equal to plain Hugging Face, every hook alive, complete cards, small, and clear refusals."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import fetch, models, recipes, tasks, tokenizer, training

# The one exception: it is no Hugging Face folder, and some hooks do nothing in it. `test_mod_add` says which.
NATIVE = "mod-add-53"
BUNDLED = [entry.name for entry in models.catalogue() if entry.kind == "bundled" and entry.name != NATIVE]
CARD_KEYS = {
    *("name", "about", "good_for", "form", "parameters", "bytes", "storage", "recipe", "seed", "corpus", "steps"),
    *("tokens_seen", "loss", "validation_curve", "licence", "versions", "machine", "minutes"),
}
LIMITS = {
    "code-2l": 4_000_000,
    "code-4l": 8_000_000,
    "code-attn-1l": 1_000_000,
    "code-attn-2l": 15_500_000,
    NATIVE: 8_000_000,
}  # bytes of the whole folder
UNTIED = {"code-4l", "code-attn-1l", "code-attn-2l"}  # embedding and unembedding are apart
EDITED_HOOKS = [
    *("hook_embed", "hook_pos_embed", "blocks.0.hook_resid_pre", "blocks.0.hook_resid_mid", "blocks.0.hook_resid_post"),
    *("blocks.0.ln1.hook_normalized", "blocks.0.attn.hook_q", "blocks.0.attn.hook_k", "blocks.0.attn.hook_v"),
    *("blocks.0.attn.hook_attn_scores", "blocks.0.attn.hook_pattern", "blocks.0.attn.hook_z", "blocks.0.hook_attn_out"),
    *("blocks.last.ln2.hook_normalized", "blocks.last.mlp.hook_pre", "blocks.last.mlp.hook_post"),
    *("blocks.last.hook_mlp_out", "blocks.last.attn.hook_z", "blocks.last.hook_resid_post"),
    *("ln_final.hook_normalized",),
]


@pytest.fixture(scope="module", params=BUNDLED)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def tokens(name):
    code = models.tokenizer(name)
    return torch.stack([code.encode(text)[:64] for _, text in tasks.sample() if len(text) > 1000][:4])


@pytest.fixture(scope="module")
def bridge(name):
    return models.load(name)


@pytest.fixture(scope="module")
def logits(bridge, tokens):
    with torch.no_grad():
        return bridge(tokens)


def plain_hugging_face(name, tokens):
    from transformers import GPT2LMHeadModel

    folder = models.folder_of(name)
    model = GPT2LMHeadModel.from_pretrained(folder, local_files_only=True, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(tokens).logits


def forward(w, c, tokens):
    """A GPT-2 written from its equations, on the plain weights."""

    def norm(x, at):
        return F.layer_norm(x, (c.d_model,), w[f"{at}.w"], w[f"{at}.b"], c.eps)

    x = w["embed.W_E"][tokens] + w["pos_embed.W_pos"][: tokens.shape[1]]
    future = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).triu(1)
    for layer in range(c.n_layers):
        at = f"blocks.{layer}"
        h = norm(x, f"{at}.ln1")
        q, k, v = (
            torch.einsum("bpm,hmd->bhpd", h, w[f"{at}.attn.W_{i}"]) + w[f"{at}.attn.b_{i}"][:, None] for i in "QKV"
        )
        scores = (q @ k.transpose(-1, -2) / c.d_head**0.5).masked_fill(future, -torch.inf)
        z = scores.softmax(-1) @ v
        x = x + torch.einsum("bhpd,hdm->bpm", z, w[f"{at}.attn.W_O"]) + w[f"{at}.attn.b_O"]
        hidden = norm(x, f"{at}.ln2") @ w[f"{at}.mlp.W_in"] + w[f"{at}.mlp.b_in"]
        x = x + F.gelu(hidden, approximate="tanh") @ w[f"{at}.mlp.W_out"] + w[f"{at}.mlp.b_out"]
    return norm(x, "ln_final") @ w["unembed.W_U"]


def test_there_is_a_bundled_model():
    assert "code-2l" in BUNDLED


def test_raw_logits_equal_hugging_face(name, tokens, bridge, logits):
    assert not bridge.training
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, plain_hugging_face(name, tokens), atol=1e-5, rtol=1e-5)


def test_plain_weights_give_the_same_logits(name, tokens, logits):
    ours = forward(models.weights(name), models.config(name), tokens)
    torch.testing.assert_close(ours, logits, atol=1e-4, rtol=0)


def test_plain_weights_are_those_of_the_bridge(name, bridge):
    for key, tensor in models.weights(name).items():
        theirs = bridge
        for part in key.split("."):
            theirs = theirs[int(part)] if part.isdigit() else getattr(theirs, part)
        assert torch.equal(tensor, theirs), key
        assert tensor.is_contiguous()
        assert tensor.dtype == torch.float32


def test_the_config_is_that_of_the_bridge(name, bridge):
    config = models.config(name)
    for field in ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "d_vocab", "n_ctx", "eps", "act_fn"):
        assert getattr(config, field) == getattr(bridge.cfg, field), field


def test_the_bridge_reads_text_as_our_tokenizer_does(name, bridge):
    text = 'def read(path):\n    """Read it."""\n    return open(path).read()\n'
    code = models.tokenizer(name)
    assert bridge.to_tokens(text)[0].tolist() == code.encode(text).tolist()
    assert bridge.to_str_tokens(text) == code.str_tokens(text)


@pytest.mark.parametrize("hook", EDITED_HOOKS)
def test_an_edit_at_every_hook_changes_the_logits(name, bridge, tokens, logits, hook):
    hook = hook.replace(".last.", f".{bridge.cfg.n_layers - 1}.")

    def edit(value, hook):
        return value * 0.5 + 0.1 * torch.linspace(-1, 1, value.shape[-1])

    with torch.no_grad():
        edited = bridge.run_with_hooks(tokens, fwd_hooks=[(hook, edit)])
    changed = (edited - logits).abs().max().item()
    silent = hook.split(".", 2)[-1] in models.card(name).get("hooks_that_do_not_act", {})
    assert (changed == 0) if silent else (changed > 1e-3)


def test_attention_scores_are_scores_and_the_pattern_their_softmax(bridge, tokens):
    _, cache = bridge.run_with_cache(tokens)
    for layer in range(bridge.cfg.n_layers):
        scores, pattern = cache["attn_scores", layer], cache["pattern", layer]
        assert scores.min() < -1e3
        torch.testing.assert_close(scores.softmax(-1), pattern, atol=1e-6, rtol=0)


def test_processed_weights_are_centred_and_say_the_same(name, tokens, logits):
    processed = models.load(name, processed=True)
    assert not processed.training
    with torch.no_grad():
        theirs = processed(tokens)
    torch.testing.assert_close(theirs.log_softmax(-1), logits.log_softmax(-1), atol=1e-4, rtol=0)
    assert processed.W_U.mean(-1).abs().max() < 1e-6
    assert processed.W_E.mean(-1).abs().max() < 1e-6


def test_loading_writes_nothing_to_stderr(name, capfd):
    models.load(name)
    assert capfd.readouterr().err == ""


def test_the_card_is_complete_and_true(name):
    card, folder = models.card(name), models.folder_of(name)
    assert set(card) >= CARD_KEYS
    assert card["name"] == folder.name == name
    tied = name not in UNTIED
    counted = [t for key, t in models.weights(name).items() if not (tied and key == "unembed.W_U")]
    assert card["parameters"] == sum(t.numel() for t in counted)
    assert card["recipe"] == json.loads(json.dumps(recipes.find(name).numbers()))
    assert card["steps"] == recipes.find(name).steps
    assert card["corpus"]["sha256_of_manifest"] == tasks.corpus_hash()
    weights = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    assert weights < card["bytes"] < weights + 100_000


def test_the_card_s_test_loss_is_seen_on_the_sample(name, tokens):
    """The sample is part of the test split: its loss lies near the card's, far below a uniform guess."""
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(models.folder_of(name), local_files_only=True).eval()
    texts = [text for _, text in tasks.sample()]
    seen = training.held_out_loss(model, texts, share=20)["nats_per_token"]
    assert seen == pytest.approx(models.card(name)["loss"]["test"]["nats_per_token"], abs=0.2)


def test_every_model_carries_the_shared_tokenizer(name):
    for file in tokenizer.FILES:
        assert (models.folder_of(name) / file).read_bytes() == (tokenizer.FOLDER / file).read_bytes()


@pytest.mark.parametrize("which", ["code-2l", NATIVE, ("code-attn-2l", 0)])
def test_loading_leaves_the_random_numbers_alone(which):
    name, first = which if isinstance(which, tuple) else (which, None)
    before = torch.get_rng_state()
    models.load(name, checkpoint=None if first is None else models.checkpoints(name)[first])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_bridge_of_weights_has_the_activation_and_eps_that_are_said(tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    size = {"n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 1024}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = GPT2LMHeadModel(
            GPT2Config(initializer_range=0.3, activation_function="relu", layer_norm_epsilon=1e-2, **size)
        ).eval()
    plain.save_pretrained(tmp_path)
    ids = torch.arange(3, 12)[None]
    with torch.no_grad():
        own = models.bridge(models.weights(tmp_path), act_fn="relu", eps=1e-2)(ids)
        torch.testing.assert_close(own, plain(ids).logits, atol=1e-4, rtol=0)
        assert (models.bridge(models.weights(tmp_path))(ids) - own).abs().max() > 0.01
    with pytest.raises(CourseError, match="no LayerNorm"):
        models.bridge(models.weights(NATIVE))


def test_the_zoo_stays_small():
    def size(folder):
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

    assert size(tasks.ZOO) <= 70_000_000
    for name, limit in LIMITS.items():
        assert size(tasks.ZOO / name) <= limit


def test_the_catalogue_needs_no_torch():
    code = "import sys; from mechinterp_course.interp import models; models.catalogue(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_catalogue_lists_bundled_and_fetched_models():
    entries = {entry.name: entry for entry in models.catalogue()}
    assert entries["code-2l"].where == tasks.ZOO / "code-2l"
    assert entries["code-2l"].bytes < 4_000_000
    assert entries["smollm2"].kind == "fetched"
    assert all(entry.good_for for entry in entries.values())


@pytest.mark.parametrize("ask", [models.load, models.card, models.weights, models.config, models.tokenizer])
def test_a_misspelt_name_is_answered_with_the_nearest(ask):
    with pytest.raises(CourseError, match="Did you mean code-2l"):
        ask("code-2L")


def test_a_name_of_nothing_is_answered_with_all_names():
    with pytest.raises(CourseError, match="There is no model 'zzz'. There are: code-2l"):
        models.load("zzz")


@pytest.mark.parametrize("hub_name", ["gpt2", "openai-community/gpt2"])
def test_a_hub_model_is_refused_at_once_without_a_network(hub_name, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CourseError, match="is a model of the Hugging Face hub, and it is not on this machine"):
        models.load(hub_name)


def test_a_model_to_fetch_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("MECHINTERP_CACHE", str(tmp_path))
    assert fetch.where("smollm2") is None
    with pytest.raises(CourseError, match="mechinterp models fetch smollm2"):
        models.load("smollm2")


def test_a_model_that_is_not_here_is_passed_over_with_a_word(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MECHINTERP_CACHE", str(tmp_path))
    assert models.load_if_here("smollm2") is None
    told = capsys.readouterr().out
    assert "SmolLM2-135M-Instruct" in told
    assert "mechinterp models fetch smollm2 (once; 93 MB" in told


def test_only_a_fetched_model_can_be_passed_over():
    with pytest.raises(CourseError, match="code-2l"):
        models.load_if_here("code-2l")


def test_a_folder_without_a_model_is_named(tmp_path):
    for name in (tmp_path, str(tmp_path)):
        with pytest.raises(CourseError, match=r"holds no config\.json"):
            models.load(name)


def test_a_folder_of_another_form_has_no_plain_weights(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(CourseError, match="'llama'; plain weights are read from GPT-2 folders only"):
        models.weights(tmp_path)


def test_a_folder_loads_by_its_path(tokens, logits, name):
    folder = models.folder_of(name)
    with torch.no_grad():
        assert torch.equal(models.load(str(folder))(tokens), logits)
    assert models.card(Path(folder))["name"] == name


def test_transformer_lens_sweeps_draw_no_progress_bar(capfd):
    """A line on stderr would cost a learner the cell's points."""
    sweeps = models.lens_patching()
    model, tokens = models.load("code-attn-1l"), torch.tensor([[0, 5, 9]])
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        found = sweeps.get_act_patch_resid_pre(model, tokens.flip(1), cache, lambda logits: logits[0, -1, 7])
    assert found.shape == (1, 3)
    assert capfd.readouterr().err == ""
