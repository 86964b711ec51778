"""Plain weights, under TransformerLens' names, as a Hugging Face GPT-2 in memory: what `models.bridge` hands to TransformerLens.

The inverse of `models.weights`. Must not import TransformerLens; transformers only inside functions.
"""

import torch
from torch import Tensor

NAMES = {  # of a block: ours, and Hugging Face's; its matrices are (in, out), as ours are
    "ln1.w": "ln_1.weight",
    "ln1.b": "ln_1.bias",
    "attn.b_O": "attn.c_proj.bias",
    "ln2.w": "ln_2.weight",
    "ln2.b": "ln_2.bias",
    "mlp.W_in": "mlp.c_fc.weight",
    "mlp.b_in": "mlp.c_fc.bias",
    "mlp.W_out": "mlp.c_proj.weight",
    "mlp.b_out": "mlp.c_proj.bias",
}


def model(weights: dict[str, Tensor], act_fn: str = "gelu_new", eps: float = 1e-5):
    """Return a `GPT2LMHeadModel` with copies of these weights, in eval mode. MLPs that are not there get the weights 0."""
    from transformers import GPT2Config, GPT2LMHeadModel

    d_vocab, d_model = weights["embed.W_E"].shape
    n_layers = sum(key.endswith("attn.W_Q") for key in weights)
    settings = GPT2Config(
        vocab_size=d_vocab,
        n_positions=len(weights["pos_embed.W_pos"]),
        n_embd=d_model,
        n_layer=n_layers,
        n_head=len(weights["blocks.0.attn.W_Q"]),
        n_inner=weights["blocks.0.mlp.W_in"].shape[1] if "blocks.0.mlp.W_in" in weights else 1,
        activation_function=act_fn,
        layer_norm_epsilon=eps,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="eager",  # the fused kernel shows no scores
    )
    made = GPT2LMHeadModel(settings)
    absent = {key: torch.zeros_like(tensor) for key, tensor in made.state_dict().items() if ".mlp." in key}
    # Not strict: a model without MLPs has no LayerNorm before them either.
    made.load_state_dict(absent | state(weights, n_layers), strict=False)
    return made.eval()


def state(weights: dict[str, Tensor], n_layers: int) -> dict[str, Tensor]:
    """Return the weights under Hugging Face's names and in its shapes: Q, K and V side by side, heads flattened."""
    found = {"wte.weight": weights["embed.W_E"], "wpe.weight": weights["pos_embed.W_pos"]}
    found |= {"ln_f.weight": weights["ln_final.w"], "ln_f.bias": weights["ln_final.b"]}
    for layer in range(n_layers):
        at = f"blocks.{layer}."
        own = {key.removeprefix(at): tensor for key, tensor in weights.items() if key.startswith(at)}
        block = {stored: own[ours] for ours, stored in NAMES.items() if ours in own}
        matrices = [own[f"attn.W_{letter}"].transpose(0, 1).flatten(1) for letter in "QKV"]
        block["attn.c_attn.weight"] = torch.cat(matrices, dim=1)
        block["attn.c_attn.bias"] = torch.cat([own[f"attn.b_{letter}"].flatten() for letter in "QKV"])
        block["attn.c_proj.weight"] = own["attn.W_O"].flatten(0, 1)
        found |= {f"h.{layer}.{key}": tensor for key, tensor in block.items()}
    found = {f"transformer.{key}": tensor for key, tensor in found.items()}
    return found | {"lm_head.weight": weights["unembed.W_U"].T.contiguous()}


def numbered_words(weights: dict[str, Tensor]):
    """Return a tokenizer for a model without text: its words are "<bos>", "t1", "t2", ..., with spaces between them."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = {"<bos>": 0} | {f"t{i}": i for i in range(1, len(weights["embed.W_E"]))}
    reader = Tokenizer(WordLevel(words, unk_token="<bos>"))
    reader.pre_tokenizer = WhitespaceSplit()
    reader.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    special = {f"{kind}_token": "<bos>" for kind in ("bos", "eos", "unk", "pad")}
    # With these two, TransformerLens sees that BOS is put in front already, and does not look for the tokenizer's files.
    return PreTrainedTokenizerFast(tokenizer_object=reader, name_or_path="planted", add_bos_token=True, **special)
