"""Sparse autoencoders: the model, and its folder in SAELens' layout. The bundled ones have names (`sae_catalogue.py`).

An SAE writes an activation x as a sum of few directions out of many: f = encode(x) says how much of each, x̂ = decode(f) adds them up.
How one learns is in `sae_training.py`, how well it does in `sae_metrics.py`. Must not import TransformerLens, or anything of courses.
"""

import json
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp.sae_catalogue import card, catalogue, folder_of, names

ARCHITECTURES = ("standard", "topk", "jumprelu")
SETTINGS, WEIGHTS = "cfg.json", "sae_weights.safetensors"  # SAELens' names
LAYOUT = "6.54.12"  # the version of SAELens whose layout is written; without one it takes a folder for an older layout
__all__ = ["ARCHITECTURES", "SAE", "card", "catalogue", "folder_of", "load", "names"]


class SAE(nn.Module):
    """A sparse autoencoder.

    standard: f = ReLU(z), made sparse by an L1 penalty in training. topk: of ReLU(z) only the k largest entries of each input are
    kept. jumprelu: f = z where z > threshold, else 0; each latent has a threshold of its own.
    In all of them z = (x - b_dec) @ W_enc + b_enc, or x @ W_enc + b_enc without `apply_b_dec_to_input`, and x̂ = f @ W_dec + b_dec.
    """

    def __init__(
        self,
        d_in: int,
        d_sae: int,
        architecture: str = "standard",
        *,
        k: int | None = None,
        apply_b_dec_to_input: bool = True,
        metadata: dict | None = None,
        seed: int = 0,
    ):
        """Begin with random unit directions, the encoder as the decoder's transpose, and zero biases.

        Where all positive latents count, the encoder begins shorter, so that x̂ begins about as long as x however many latents there are.

        k: how many latents a topk SAE keeps. metadata: what it reads, say {"model_name": ..., "hook_name": ...}.
        """
        super().__init__()
        _refuse_settings(architecture, k, d_sae)
        self.d_in, self.d_sae, self.architecture, self.k = d_in, d_sae, architecture, k
        self.apply_b_dec_to_input = apply_b_dec_to_input
        self.metadata = dict(metadata or {})
        # Far from small seeds: data made with the same seed must not begin with the same directions.
        generator = torch.Generator().manual_seed(seed + 0x5AE_0000)
        directions = torch.randn(d_sae, d_in, generator=generator)
        directions /= directions.norm(dim=1, keepdim=True)
        shorter = 1.0 if architecture == "topk" else min(1.0, 2 * d_in / d_sae)
        self.W_enc = nn.Parameter(directions.T.contiguous() * shorter)
        self.b_enc = nn.Parameter(torch.zeros(d_sae))
        self.W_dec = nn.Parameter(directions)
        self.b_dec = nn.Parameter(torch.zeros(d_in))
        if architecture == "jumprelu":
            self.threshold = nn.Parameter(torch.full((d_sae,), 0.01))

    @property
    def hook_name(self) -> str | None:
        """The hook whose activations this SAE reads, if it was said."""
        return self.metadata.get("hook_name")

    def pre_activations(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """Return z, what the encoder computes before its non-linearity."""
        if self.apply_b_dec_to_input:
            x = x - self.b_dec
        return x @ self.W_enc + self.b_enc

    def encode(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """Return the feature activations of x: how much of each direction it holds, mostly zeros."""
        z = self.pre_activations(x)
        if self.architecture == "topk":
            kept = z.topk(self.k, dim=-1, sorted=False)
            return torch.zeros_like(z).scatter(-1, kept.indices, kept.values.relu())
        if self.architecture == "jumprelu":
            return z.relu() * (z > self.threshold)
        return z.relu()

    def decode(self, f: Float[Tensor, "... d_sae"]) -> Float[Tensor, "... d_in"]:
        """Return the sum of the directions, each as strong as its feature activation says, and of b_dec."""
        return f @ self.W_dec + self.b_dec

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_in"]:
        """Return the reconstruction x̂ of x."""
        return self.decode(self.encode(x))

    def extra_repr(self) -> str:
        """What `print(sae)` says."""
        kind = f"{self.architecture}, k={self.k}" if self.architecture == "topk" else self.architecture
        return f"{self.d_in} -> {self.d_sae}, {kind}" + (f", {self.hook_name}" if self.hook_name else "")

    @torch.no_grad()
    def rescale_(self, factor: float) -> None:
        """Make an SAE of activations x into the one of activations factor · x: the same directions, f times `factor`.

        A ReLU keeps positive factors, so only the biases and thresholds have to be multiplied.
        """
        self.b_enc *= factor
        self.b_dec *= factor
        if self.architecture == "jumprelu":
            self.threshold *= factor

    # --- files ------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> Path:
        """Write the folder that SAELens reads: cfg.json and sae_weights.safetensors. dtype: float16 takes half of the room.

        The weights are read back as float32, whatever they were stored as.
        """
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "d_in": self.d_in,
            "d_sae": self.d_sae,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": self.apply_b_dec_to_input,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": self.metadata | {"sae_lens_version": LAYOUT},
            "architecture": self.architecture,
        }
        if self.architecture == "topk":
            settings |= {"k": self.k, "rescale_acts_by_decoder_norm": False}
        weights = {name: p.detach().to("cpu", dtype).contiguous() for name, p in self.named_parameters()}
        save_file(weights, folder / WEIGHTS)
        (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> "SAE":
        """Read a folder in SAELens' layout, as float32 and without gradients. Raises CourseError for forms not known here."""
        from safetensors.torch import load_file

        folder = Path(folder).expanduser()
        if not (folder / SETTINGS).is_file():
            raise CourseError(
                f"There is no SAE in {folder}: it holds no {SETTINGS}.", "Give a folder that save() wrote."
            )
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        _refuse_forms(settings)
        sae = cls(
            settings["d_in"],
            settings["d_sae"],
            settings["architecture"],
            k=settings.get("k"),
            apply_b_dec_to_input=settings.get("apply_b_dec_to_input", True),
            metadata=settings.get("metadata"),
        )
        weights = {name: tensor.float() for name, tensor in load_file(folder / WEIGHTS).items()}
        if settings.get("rescale_acts_by_decoder_norm"):  # TopK of SAELens before its norms are folded in
            norms = weights["W_dec"].norm(dim=1)
            weights["W_enc"], weights["b_enc"] = weights["W_enc"] * norms, weights["b_enc"] * norms
            weights["W_dec"] = weights["W_dec"] / norms[:, None]
        sae.load_state_dict(weights)
        return sae.requires_grad_(False).eval()


def _refuse_settings(architecture: str, k: int | None, d_sae: int) -> None:
    if architecture not in ARCHITECTURES:
        raise unknown("architecture", str(architecture), ARCHITECTURES)
    if architecture == "topk" and not (isinstance(k, int) and 1 <= k <= d_sae):
        raise CourseError(
            f"A topk SAE needs k, how many of its {d_sae} latents it keeps; it is {k}.",
            'Say SAE(d_in, d_sae, "topk", k=16).',
        )


def _refuse_forms(settings: dict) -> None:
    """Raise for an SAE whose encoder does more than ours: its values would come out wrong."""
    if settings.get("architecture") not in ARCHITECTURES:
        raise CourseError(
            f"This SAE has the architecture {settings.get('architecture')!r}; read here are {', '.join(ARCHITECTURES)}.",
            "Open it with sae-lens, in an environment of its own.",
        )
    for setting in ("normalize_activations", "reshape_activations"):
        if settings.get(setting, "none") != "none":
            raise CourseError(
                f"This SAE was saved with {setting} = {settings[setting]!r}, which is not done here.",
                "Fold it into the weights with sae-lens, and save it again.",
            )


def load(name: str | Path) -> SAE:
    """A bundled SAE by name, or one in SAELens' layout by the path of its folder."""
    is_folder = isinstance(name, Path) or (Path(name).expanduser() / SETTINGS).is_file()
    return SAE.load(name if is_folder else folder_of(name))
