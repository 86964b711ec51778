"""The tokenizer that all code models share: byte-level BPE, 1,024 tokens, learnt from the train split.

Needs the `tokenizers` library alone. Must not import transformers or TransformerLens; torch only where tensors are made.
"""

import json
from pathlib import Path

from mechinterp_course.interp import tasks

FOLDER = tasks.ZOO / "code-tokenizer"
FILES = ("tokenizer.json", "tokenizer_config.json")
BOS = "<|endoftext|>"
VOCABULARY = 1024

# No token crosses these chunks: a run of two or more spaces (an indentation; the word after it has no space), a word
# with one space before it, one digit, line ends, underscores, other signs. So a name is cut at its underscores.
CHUNKS = r" {2,}| ?\p{L}+|\p{N}|\n+| ?_+| ?[^\s\p{L}\p{N}_]+|\s"


class CodeTokenizer:
    """Text to token ids and back. `encode` puts BOS first, because every code model was trained with it there.

    Reads the tokenizer.json and the name of the BOS token from any Hugging Face folder.
    """

    def __init__(self, folder: Path = FOLDER):
        from tokenizers import Tokenizer

        settings = json.loads((Path(folder) / "tokenizer_config.json").read_text(encoding="utf-8"))
        self.backend = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        # A literal "<|endoftext|>" inside a text is read as its characters, not as the special token.
        self.backend.encode_special_tokens = True
        self.bos_token_id = self.backend.token_to_id(settings["bos_token"])
        self.d_vocab = self.backend.get_vocab_size()

    def ids(self, text: str) -> list[int]:
        """The token ids of a text, without BOS."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def encode(self, text: str, bos: bool = True):
        """The token ids as a LongTensor of shape (pos,), BOS first unless `bos=False`."""
        import torch

        return torch.tensor([self.bos_token_id] * bos + self.ids(text), dtype=torch.long)

    def decode(self, ids) -> str:
        """The text of token ids: a list, or a tensor of shape (pos,). A BOS shows as <|endoftext|>."""
        return self.backend.decode([int(i) for i in ids], skip_special_tokens=False)

    def str_tokens(self, text_or_ids, bos: bool = True) -> list[str]:
        """The text of each token alone. A token that is part of a character shows as the replacement sign."""
        ids = self.encode(text_or_ids, bos) if isinstance(text_or_ids, str) else text_or_ids
        return [self.decode([i]) for i in ids]


def learn(folder: Path, texts: list[str]) -> None:
    """Learn the merges from `texts` and save a Hugging Face fast-tokenizer folder (how `zoo/code-tokenizer` was made)."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(CHUNKS), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": BOS,
        "model_max_length": 256,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
