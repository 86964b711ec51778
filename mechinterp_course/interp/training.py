"""The loop that follows a recipe and makes a model: a Hugging Face folder with a model card.

A run can be stopped and goes on where it was, because the batch of a step depends on the seed and the step alone. Must not
import TransformerLens; imports torch only when something is trained or measured.
"""

import dataclasses
import json
import math
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import mixture, optimizers, recipes, runs, tasks, tokenizer
from mechinterp_course.interp.recipes import AttentionRecipe, MixtureRecipe, Recipe

SAVE_EVERY = 30.0  # seconds between two saved states: what an interruption costs at most
MEASURE_EVERY = 500  # steps between two measurements on the validation split


def new_model(recipe: Recipe):
    """An untrained Hugging Face GPT-2 of the recipe's size, on its seed."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=tokenizer.VOCABULARY,
        n_positions=recipe.n_ctx,
        n_embd=recipe.d_model,
        n_layer=recipe.n_layers,
        n_head=recipe.n_heads,
        n_inner=recipe.d_mlp,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=recipe.init_std,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=False,
        tie_word_embeddings=not isinstance(recipe, MixtureRecipe),
    )
    torch.manual_seed(recipe.seed)
    model = GPT2LMHeadModel(config)
    if isinstance(recipe, MixtureRecipe):
        mixture.start(model, recipe)
        for block in model.transformer.h:
            block.mlp.act = torch.nn.GELU(approximate="tanh")  # gelu_new in one kernel: training takes 8 % less time
    return model


def token_stream(texts: list[str]):
    """All texts as one LongTensor of token ids, BOS before each."""
    import torch

    code = tokenizer.CodeTokenizer()
    return torch.cat([code.encode(text) for text in texts])


def batch_of(stream, recipe: Recipe, step: int):
    """The batch of a step: windows at random places of the stream, BOS first. Shape (batch, n_ctx)."""
    import torch

    if isinstance(recipe, MixtureRecipe):
        return mixture.batch_of(stream, recipe, step)
    rng = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    starts = torch.randint(len(stream) - recipe.n_ctx + 2, (recipe.batch, 1), generator=rng)
    windows = stream[starts + torch.arange(recipe.n_ctx - 1)]
    return torch.nn.functional.pad(windows, (1, 0), value=0)


def loss_of(model, tokens):
    """Mean cross-entropy of the next token, in nats. `tokens` has shape (batch, pos)."""
    from torch.nn.functional import cross_entropy

    logits = model(tokens).logits[:, :-1]
    return cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def train_step(model, optimizer, recipe: Recipe, stream, step: int) -> float:
    """One step of the recipe; returns the loss of its batch."""
    import torch

    for group in optimizer.param_groups:
        group["lr"] = optimizers.learning_rate(recipe, step)
    loss = loss_of(model, batch_of(stream, recipe, step).to(model.device))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimizer.step()
    return loss.item()


# --- a run: state, progress, folder -------------------------------------------------------------------------------


class Run:
    """A model on its way: what a saved state holds, and what goes on after an interruption."""

    def __init__(self, recipe: Recipe, folder: Path):
        import torch

        self.recipe = recipe
        self.file = folder / runs.STATE
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = new_model(recipe).to(self.device)
        self.optimizer = optimizers.new_optimizer(self.model, recipe)
        self.step = 0
        self.seconds = 0.0
        self.curve: list[tuple[int, float]] = []  # (steps done, validation loss)

    def save(self) -> None:
        """Write the state; an interruption meanwhile leaves the earlier one."""
        import torch

        state = {
            "recipe": self.recipe.numbers(),
            "corpus": tasks.corpus_hash(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
        }
        runs.write_atomically(self.file, lambda path: torch.save(state, path))

    def resume(self) -> None:
        """Go on from the saved state, if there is one; it must be of the same recipe and corpus."""
        import torch

        if not self.file.exists():
            return
        state = torch.load(self.file, map_location=self.device)
        if state["recipe"] != self.recipe.numbers() or state["corpus"] != tasks.corpus_hash():
            raise CourseError(
                f"{self.file} is the state of a different run: another recipe, number of steps or corpus.",
                "Delete that file to start afresh, or train into another folder with --out.",
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]


def held_out_loss(model, texts: list[str], share: int = 1) -> dict[str, float]:
    """Loss on whole files: windows side by side, BOS first in each, every token predicted once.

    Nats per token, and bits per byte (total nats / ln 2 / bytes of text), which does not depend on the tokenizer.
    `share=8` measures every eighth window only.
    """
    import torch

    stream = token_stream(texts)
    width = model.config.n_positions - 1
    windows = torch.nn.functional.pad(stream[: len(stream) // width * width].view(-1, width), (1, 0), value=0)[::share]
    with torch.no_grad():
        total = sum(loss_of(model, part.to(model.device)).item() * len(part) for part in windows.split(16))
    nats = total / len(windows)
    bytes_per_token = sum(len(text.encode()) for text in texts) / len(stream)
    return {"nats_per_token": nats, "bits_per_byte": nats / math.log(2) / bytes_per_token, "tokens": windows.numel()}


def follow(run: Run, train_texts: list[str], validation_texts: list[str], progress: bool) -> None:
    """Take the run to its last step: saves every half minute, measures now and then, can be interrupted at any moment."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    stream = token_stream(train_texts)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not progress) as bar:
        line = bar.add_task(run.recipe.name, total=run.recipe.steps, completed=run.step)
        started, saved = time.monotonic() - run.seconds, time.monotonic()
        if run.step == 0:
            shutil.rmtree(run.file.parent / "checkpoints", ignore_errors=True)  # of an earlier model in this folder
        keep_checkpoint(run)
        while run.step < run.recipe.steps:
            loss = train_step(run.model, run.optimizer, run.recipe, stream, run.step)
            run.step += 1
            keep_checkpoint(run)
            last = run.step == run.recipe.steps
            bar.update(line, advance=1, description=f"{run.recipe.name}  loss {loss:.2f}")
            if run.step % MEASURE_EVERY == 0 or last:
                measured = held_out_loss(run.model, validation_texts, share=8)["nats_per_token"]
                run.curve.append((run.step, round(measured, 4)))
                bar.console.print(f"step {run.step:,}: {measured:.3f} nats per token on the validation split")
            if time.monotonic() - saved > SAVE_EVERY or last:
                run.seconds = time.monotonic() - started
                run.save()
                saved = time.monotonic()


def keep_checkpoint(run: Run) -> None:
    """Write the weights as they are, if the recipe keeps those of this step; the last step's are the model itself."""
    if run.step in getattr(run.recipe, "kept", ()) and run.step < run.recipe.steps:
        file = run.file.parent / "checkpoints" / f"{run.step:06d}.safetensors"
        file.parent.mkdir(exist_ok=True)
        write_weights(run.model, file)


def write_weights(model, file: Path) -> None:
    """Write the weights as float16. A tied lm_head is left out: Hugging Face ties it again on loading."""
    import torch
    from safetensors.torch import save

    weights = {name: p.detach().cpu().to(torch.float16).contiguous() for name, p in model.named_parameters()}
    packed = save(weights, metadata={"format": "pt"})
    runs.write_atomically(file, lambda path: path.write_bytes(packed))


def write_model(model, folder: Path) -> None:
    """Write the Hugging Face folder: weights stored as float16 and declared as float32, so they load as float32."""
    write_weights(model, folder / "model.safetensors")
    config = model.config.to_diff_dict()
    config |= {"architectures": ["GPT2LMHeadModel"], "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for file in tokenizer.FILES:
        shutil.copyfile(tokenizer.FOLDER / file, folder / file)


def form_of(recipe: Recipe) -> str:
    """What kind of model a recipe makes, for its card."""
    if isinstance(recipe, AttentionRecipe):
        return mixture.FORM_WITHOUT_MLPS
    if isinstance(recipe, MixtureRecipe):
        return mixture.FORM
    return "GPT-2 (Hugging Face GPT2LMHeadModel): learned positions, LayerNorm, gelu_new, tied embeddings"


def write_card(run: Run, folder: Path, texts: dict[str, list[str]]) -> dict:
    """Measure the model as stored, rounded to float16, and write `card.json`."""
    import torch

    recipe = run.recipe
    series = sorted((folder / "checkpoints").glob("*.safetensors"))
    stored = run.model.half().float().eval()
    card = {
        "name": recipe.name,
        "about": recipe.about,
        "good_for": recipe.good_for,
        "form": form_of(recipe),
        "parameters": sum(p.numel() for p in stored.parameters()),
        "bytes": sum(
            f.stat().st_size for f in [folder / "model.safetensors", *series, *(folder / t for t in tokenizer.FILES)]
        ),
        "storage": "float16, loaded as float32",
        "recipe": recipe.numbers(),
        "seed": recipe.seed,
        "corpus": {
            "text": f"Python {tasks.PYTHON} standard library, train split by file",
            "sha256_of_manifest": tasks.corpus_hash(),
        },
        "steps": run.step,
        "tokens_seen": recipe.tokens_seen(run.step),
        "loss": {s: held_out_loss(stored, texts[s], share=8 if s == "train" else 1) for s in tasks.SPLITS},
        "validation_curve": run.curve,
        "licence": "weights: Apache-2.0; trained on text under the PSF licence (zoo/corpus/LICENSE-PYTHON.txt)",
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("torch", "transformers", "tokenizers", "safetensors")},
        "machine": {"device": run.device, "threads": torch.get_num_threads(), "processor": platform.machine()},
        "minutes": round(run.seconds / 60, 1),
    }
    steps = [*(int(file.stem) for file in series), run.step]
    if isinstance(recipe, AttentionRecipe):
        from mechinterp_course.interp import induction

        card |= induction.figures(folder, steps, texts["test"])
    elif isinstance(recipe, MixtureRecipe):
        from mechinterp_course.interp import capabilities

        card |= capabilities.figures(folder, recipe, texts)
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def train(
    name: str,
    out: str | Path | None = None,
    stdlib: str | Path | None = None,
    steps: int | None = None,
    progress: bool = True,
) -> Path:
    """Follow the recipe `name` and return the finished Hugging Face folder, with its card.

    `out` is the folder to write (by default one named after the model, where you are); `stdlib` the library folder of
    the pinned Python; `steps` replaces the recipe's number. Run it again after Ctrl-C: it goes on where it was.
    """
    chosen = recipes.find(name)
    if steps is not None:
        chosen = dataclasses.replace(chosen, steps=steps)
    if isinstance(chosen, recipes.ModularRecipe):
        from mechinterp_course.interp import modular

        return modular.train(chosen, Path(out) if out is not None else Path(name), progress)
    texts = {split: [text for _, text in tasks.read_split(split, stdlib)] for split in tasks.SPLITS}

    def make(folder: Path) -> None:
        run = Run(chosen, folder)
        run.resume()
        follow(run, texts["train"], texts["validation"], progress)
        write_model(run.model, folder)
        write_card(run, folder, texts)

    return runs.completed(chosen, Path(out) if out is not None else Path(name), make)
