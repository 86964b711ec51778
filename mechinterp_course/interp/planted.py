"""Planted heads: attention heads written by hand, so that the role of each is known before anything is measured.

Two forms: `patterns` writes attention patterns down directly, and `weights` makes a small attention-only transformer
whose heads have the roles that you ask for. `run` is that transformer in plain torch; `models.bridge(weights)` is the same
in TransformerLens. Roles after Elhage et al. 2021 and Olsson et al. 2022. Must not import TransformerLens.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp.attention_only import run as run

# What each head attends to, when it attends to one thing. "Rests": attends to position 0, where BOS belongs.
ROLES = {
    "previous token": "the position just before",
    "current token": "its own position",
    "first token": "position 0",
    "duplicate token": "every earlier position with the same token; rests where there is none",
    "induction": "every position whose previous token is the current token; rests where there is none",
    "shortcut": "the position `back` places before, whatever stands there; rests where there is none. An impostor: where "
    "copies are back + 1 tokens long, it looks like induction",
    "early previous token": "the position just before, for the first EARLY queries; later it rests. An impostor: a mean "
    "over a short sequence takes it for a previous-token head",
    "even": "all positions so far alike",
}
EARLY = 8
LAYERS = (("previous token", "duplicate token", "first token"), ("shortcut", "induction", "even"))
BOS = 0


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise unknown("role", role, ROLES)


# --- patterns -------------------------------------------------------------------------------------------------------


def pattern(
    role: str,
    tokens: Int[Tensor, "batch pos"],
    back: int = 9,
    sharpness: float = 20.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Float[Tensor, "batch query key"]:
    """Return the attention pattern of a head with this role: softmax over keys ≤ query of sharpness · [key is its target] + noise.

    sharpness: how far, in nats, the score of a target lies above that of other keys; 0 makes any head even. noise: the standard deviation
    of what is added to each score, drawn from `seed`. back: how far the shortcut looks; it passes for induction
    on copies of back + 1 tokens. Raises CourseError for a role that is not in ROLES, and for a `back` below 0 or above 126.
    """
    draw = torch.Generator().manual_seed(seed)
    scores = sharpness * targets(role, tokens, back).float()
    scores = scores + noise * torch.randn(scores.shape, generator=draw)
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


def patterns(
    tokens: Int[Tensor, "batch pos"],
    layers: Sequence[Sequence[str]] = LAYERS,
    back: int = 9,
    sharpness: float = 20.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Float[Tensor, "layer batch head query key"]:
    """Return the patterns of many planted heads, `layers[layer][head]` being a role, shaped as `attention.patterns` gives them.

    The other arguments are those of `pattern`; each head has noise of its own.
    """
    _check_layers(layers)
    heads = len(layers[0])
    made = [
        [pattern(role, tokens, back, sharpness, noise, seed + heads * i + j) for j, role in enumerate(roles)]
        for i, roles in enumerate(layers)
    ]
    return torch.stack([torch.stack(row, dim=1) for row in made])


def targets(role: str, tokens: Int[Tensor, "batch pos"], back: int = 9) -> Tensor:
    """Return where a head with this role attends: a boolean tensor (batch, query, key), False for every key after its query."""
    _check_role(role)
    _check_back(back)
    batch, n = tokens.shape
    query, key = torch.arange(n)[:, None], torch.arange(n)[None, :]
    past = key <= query
    if role == "even":
        return past.expand(batch, n, n)
    if role in ("duplicate token", "induction"):
        offered = tokens if role == "duplicate token" else tokens.roll(1, dims=1)  # what a key can be found by
        here = key < query if role == "duplicate token" else past & (key > 0)  # nothing stands before position 0
        found = (tokens[:, :, None] == offered[:, None, :]) & here
    else:
        distance = {"current token": 0, "first token": query, "shortcut": back}.get(role, 1)
        found = (query - key == distance).expand(batch, n, n)
        if role == "early previous token":
            found = found & (query < EARLY)
    rests = (key == 0) & ~found.any(-1, keepdim=True)
    return found | rests


def _check_back(back: int) -> None:
    if not 0 <= back < N_CTX:
        raise CourseError(f"A shortcut cannot look {back} places back.", f"Choose 0 to {N_CTX - 1}.")


def _check_layers(layers: Sequence[Sequence[str]]) -> None:
    for roles in layers:
        for role in roles:
            _check_role(role)
    if not layers or not layers[0] or len({len(roles) for roles in layers}) > 1:
        raise CourseError(
            f"Every layer needs the same number of heads, at least one; these have {[len(roles) for roles in layers]}.",
            'Fill up with "even" heads: (("previous token", "even"), ("induction", "even")).',
        )


# --- weights --------------------------------------------------------------------------------------------------------

# The residual stream has rooms, each with its own dimensions: what is written to one can be read without the others.
TOKEN, POSITION, PREVIOUS, PREDICTION = slice(0, 64), slice(64, 192), slice(192, 256), slice(256, 320)
ROOM, PLACES = 64, 128  # dimensions of a room that holds a token, and of the one that holds the position
D_HEAD = ROOM + PLACES  # the first 64 compare tokens, the other 128 compare positions
N_CTX = PLACES - 1
REST = 0.5  # the score of position 0 for a head that can rest, where a full match scores 1
NOTE = 0.5  # how loudly the other heads write, into rooms that nobody reads
LOGIT = 30.0  # what a predicted token's logit would be without the final LayerNorm


def token_codes(d_vocab: int, seed: int = 0) -> Float[Tensor, "d_vocab room"]:
    """Return a unit vector of 64 entries ±1/8 for each token: mean 0, any two with |cosine| ≤ 3/8, all at right angles to BOS.

    500 tokens in 64 dimensions cannot all be at right angles; their overlap is bounded instead, by drawing again where it is larger.
    """
    draw = torch.Generator().manual_seed(seed)
    balanced = torch.ones(ROOM)
    balanced[ROOM // 2 :] = -1
    codes = torch.empty(0, ROOM)
    while len(codes) < d_vocab:
        code = balanced[torch.randperm(ROOM, generator=draw)]
        overlap = codes @ code
        if len(codes) == 0 or (overlap[0] == 0 and overlap.abs().max() <= 3 / 8 * ROOM):
            codes = torch.cat([codes, code[None]])
    return codes / ROOM**0.5


def position_codes(seed: int = 0) -> Float[Tensor, "pos places"]:
    """Return a unit vector of 128 entries for each of 127 positions: mean 0, any two at right angles (rows of a Hadamard matrix)."""
    hadamard = torch.ones(1, 1)
    while len(hadamard) < PLACES:
        hadamard = torch.cat([torch.cat([hadamard, hadamard], 1), torch.cat([hadamard, -hadamard], 1)])
    order = torch.randperm(N_CTX, generator=torch.Generator().manual_seed(seed))
    return hadamard[1:][order] / PLACES**0.5


def weights(
    layers: Sequence[Sequence[str]] = LAYERS,
    d_vocab: int = 500,
    back: int = 9,
    sharpness: float = 80.0,
    noise: float = 0.0,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Return the weights of an attention-only transformer whose head `layers[layer][head]` has that role, under the names of `models.weights`.

    d_head 192, d_model 192 · heads, 127 positions. Token 0 is BOS: begin every sequence with it. How it works:
    - an embedding writes a code of the token into one room of the residual stream, and of the position into another;
    - a head compares tokens, positions or both; a match scores `sharpness` in layer 0 (later less: LayerNorm divides by more there);
    - a head's value is the code of the token it attends to (nothing for BOS). A "previous token" head writes it into the room PREVIOUS,
      an "induction" head, whose keys read PREVIOUS (K-composition), into PREDICTION, which W_U reads; the others write where nobody reads.
    So with a previous-token head below an induction head, the model does induction: their K-composition score ‖W_QK W_OV^T‖ / (‖W_QK‖ ‖W_OV‖)
    is 1/8, that of all other pairs 0. Without either head it predicts nothing: the loss is log d_vocab.

    LayerNorm is there, with weight 1 and bias 0. The codes have mean 0, so it only divides: in layer 0 by exactly 1.
    noise: standard deviation of what is added to each entry of W_Q, W_K, W_V, W_O, in units of 1 / √d_model, the scale of an untrained
    model; up to 0.3 every role but "even" holds. The rest as in `pattern`.
    Raises CourseError for a role that is not in ROLES, layers of one head or of unequal numbers, or more than 2,000 tokens.
    """
    _check_layers(layers)
    _check_back(back)
    if len(layers[0]) < 2:
        raise CourseError("One head a layer leaves no room for what the heads write.", 'Add an "even" head to each.')
    if not 2 <= d_vocab <= 2000:
        raise CourseError(f"{d_vocab} tokens cannot be planted.", "Ask for 2 to 2,000: their codes have 64 dimensions.")
    n_heads = len(layers[0])
    d_model = D_HEAD * n_heads
    tokens, places = token_codes(d_vocab, seed), position_codes(seed)
    loud = (d_model / 2) ** 0.5  # token and position then have mean square 1 together
    W_E, W_pos, W_U = torch.zeros(d_vocab, d_model), torch.zeros(N_CTX, d_model), torch.zeros(d_model, d_vocab)
    W_E[:, TOKEN], W_pos[:, POSITION] = loud * tokens, loud * places
    W_U[PREDICTION] = LOGIT / loud * tokens.T
    made = {"embed.W_E": W_E, "pos_embed.W_pos": W_pos}
    draw = torch.Generator().manual_seed(seed)
    for layer, roles in enumerate(layers):
        match = (sharpness * D_HEAD**0.5) ** 0.5 / loud
        heads = [_head(role, slot, d_model, tokens, places, back, match) for slot, role in enumerate(roles)]
        made |= {f"blocks.{layer}.ln1.w": torch.ones(d_model), f"blocks.{layer}.ln1.b": torch.zeros(d_model)}
        for name in heads[0]:
            stacked = torch.stack([head[name] for head in heads])
            if name.startswith("W"):
                stacked = stacked + noise / d_model**0.5 * torch.randn(stacked.shape, generator=draw)
            made[f"blocks.{layer}.attn.{name}"] = stacked
        made[f"blocks.{layer}.attn.b_O"] = torch.zeros(d_model)
    return made | {"ln_final.w": torch.ones(d_model), "ln_final.b": torch.zeros(d_model), "unembed.W_U": W_U}


def _head(role: str, slot: int, d_model: int, tokens: Tensor, places: Tensor, back: int, match: float) -> dict:
    """The weights of one head; `match` is the scale of its queries and of its keys."""
    W_Q, W_K, W_V = (torch.zeros(d_model, D_HEAD) for _ in range(3))
    W_O, b_Q = torch.zeros(D_HEAD, d_model), torch.zeros(D_HEAD)
    compare, where = slice(0, ROOM), slice(ROOM, D_HEAD)  # the dimensions of a query that hold a token, and a position
    W_K[POSITION, where] = torch.eye(PLACES)
    if role == "even":  # asks for what the mean of a token's code says: nothing, since every code has mean 0
        W_Q[TOKEN, where] = torch.ones(ROOM, PLACES) / (ROOM * PLACES) ** 0.5
    if role in ("duplicate token", "induction"):
        W_Q[TOKEN, compare] = torch.eye(ROOM)
        W_K[TOKEN if role == "duplicate token" else PREVIOUS, compare] = torch.eye(ROOM)
        if role == "duplicate token":
            W_Q[POSITION, where] = -torch.eye(PLACES)  # cancels the match of every token with itself
    distance = {"previous token": 1, "early previous token": 1, "current token": 0, "shortcut": back}.get(role)
    if distance is not None:
        queries = torch.arange(EARLY if role == "early previous token" else N_CTX)
        # Σ_t |p_t><p_(t - distance)|. Where t < distance that is a position in the future, which the mask hides.
        W_Q[POSITION, where] = places[queries].T @ places[(queries - distance) % N_CTX]
    rests = {"first token": 1.0, "previous token": 0.0, "current token": 0.0, "even": 0.0}.get(role, REST)
    b_Q[where] = rests * (d_model / 2) ** 0.5 * places[0]
    W_V[TOKEN, compare] = torch.eye(ROOM) - torch.outer(tokens[BOS], tokens[BOS])
    free = (d_model - PREDICTION.stop) // ROOM
    notes = slice(PREDICTION.stop + slot % free * ROOM, PREDICTION.stop + (slot % free + 1) * ROOM)
    room, volume = {"previous token": (PREVIOUS, 1.0), "induction": (PREDICTION, 1.0)}.get(role, (notes, NOTE))
    W_O[compare, room] = volume * torch.eye(ROOM)
    none = torch.zeros(D_HEAD)
    queries_and_keys = {"W_Q": match * W_Q, "b_Q": match * b_Q, "W_K": match * W_K, "b_K": none}
    return queries_and_keys | {"W_V": W_V, "b_V": none, "W_O": W_O}
