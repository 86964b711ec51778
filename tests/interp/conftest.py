"""A tiny random GPT-2 as a bridge: every test of a helper that needs some model, and no trained one, uses it."""

import pytest
from jaxtyping import install_import_hook

# Within these tests, every call of these modules is checked against the shapes in its signature.
SHAPED = [
    "attention",
    "attribution",
    "cache",
    "causal",
    "fourier",
    "grokking",
    "lens",
    "modular",
    "planted",
    "probe_data",
    "probes",
    "residual",
    "separability",
    "superposition",
    "superposition_theory",
]
install_import_hook([f"mechinterp_course.interp.{name}" for name in SHAPED], "beartype.beartype")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A Hugging Face folder: 2 layers, 4 heads, d_model 32, 64 positions, the course's tokenizer, random weights."""
    import shutil

    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from mechinterp_course.interp import tokenizer

    folder = tmp_path_factory.mktemp("tiny-gpt2")
    size = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
    config = GPT2Config(vocab_size=tokenizer.VOCABULARY, bos_token_id=0, eos_token_id=0, initializer_range=0.3, **size)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config)
        for weights in model.parameters():  # biases of zero would hide a forgotten one
            if weights.dim() == 1:
                torch.nn.init.normal_(weights, mean=weights.mean().item(), std=0.1)
        model.save_pretrained(folder)
    for file in tokenizer.FILES:
        shutil.copyfile(tokenizer.FOLDER / file, folder / file)
    return folder


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory):
    """A Hugging Face folder: a Llama with random weights, RMSNorm, 4 query heads on 2 key heads, untied."""
    import shutil

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from mechinterp_course.interp import tokenizer

    folder = tmp_path_factory.mktemp("tiny-llama")
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "max_position_embeddings": 64}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(vocab_size=1024, initializer_range=0.3, **size, **heads))
        for weights in model.parameters():  # norms that are all 1 would hide a forgotten one
            if weights.dim() == 1:
                torch.nn.init.normal_(weights, mean=1.0, std=0.3)
        model.save_pretrained(folder)
    for file in tokenizer.FILES:
        shutil.copyfile(tokenizer.FOLDER / file, folder / file)
    return folder


@pytest.fixture(scope="session")
def gemma_folder(tmp_path_factory):
    """A Hugging Face folder: a Gemma with random weights, whose norms multiply by 1 + w."""
    import shutil

    import torch
    from transformers import GemmaConfig, GemmaForCausalLM

    from mechinterp_course.interp import tokenizer

    folder = tmp_path_factory.mktemp("tiny-gemma")
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "max_position_embeddings": 64}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "tie_word_embeddings": False}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GemmaForCausalLM(GemmaConfig(vocab_size=1024, initializer_range=0.3, **size, **heads))
        for weights in model.parameters():
            if weights.dim() == 1:
                torch.nn.init.normal_(weights, std=0.5)
        model.save_pretrained(folder)
    for file in tokenizer.FILES:
        shutil.copyfile(tokenizer.FOLDER / file, folder / file)
    return folder


@pytest.fixture
def tiny(tiny_folder):
    """A fresh bridge of the tiny model: a test may switch hooks on."""
    from transformer_lens.model_bridge import TransformerBridge

    return TransformerBridge.boot_transformers(str(tiny_folder)).eval()
