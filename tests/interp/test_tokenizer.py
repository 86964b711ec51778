"""The shared tokenizer: nothing of a text is lost, and its pieces are those that lessons speak of."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mechinterp_course.interp import tasks, tokenizer
from mechinterp_course.interp.tokenizer import BOS, CodeTokenizer

CODE = CodeTokenizer()


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
@example('def f(x):\n\treturn \'π\' + """<|endoftext|>"""\r\n')
@example("\n\n\n   \n \x00\x0c~é漢🐍")
def test_any_text_comes_back_as_it_was(text):
    assert CODE.decode(CODE.ids(text)) == text
    assert CODE.decode(CODE.encode(text)) == BOS + text


def test_real_source_comes_back_as_it_was():
    for _, text in tasks.sample():
        assert CODE.decode(CODE.ids(text)) == text


def test_the_vocabulary_is_full_and_bos_is_first():
    assert CODE.d_vocab == tokenizer.VOCABULARY == 1024
    assert CODE.encode("x").tolist()[0] == CODE.bos_token_id == 0
    assert CODE.encode("x", bos=False).tolist() == CODE.ids("x")
    assert CODE.encode("").tolist() == [0]


@pytest.mark.parametrize("depth", [2, 4, 8, 12, 16, 20])
def test_an_indentation_is_one_token(depth):
    assert CODE.str_tokens("\n" + " " * depth + "return", bos=False) == ["\n", " " * depth, "return"]


def test_digits_stand_alone_and_names_are_cut_at_underscores():
    assert CODE.str_tokens("x = 2024", bos=False)[-4:] == ["2", "0", "2", "4"]
    pieces = CODE.str_tokens("def max_len(self):\n", bos=False)
    assert pieces[0] == "def"
    assert "_" in pieces
    assert pieces[-3:] == ["self", "):", "\n"]


def test_pieces_put_together_are_the_text():
    text = tasks.sample()[0][1]
    assert "".join(CODE.str_tokens(text)) == BOS + text
    assert CODE.str_tokens(CODE.encode(text)) == CODE.str_tokens(text)


def test_a_literal_special_token_in_a_text_is_ordinary_text():
    assert CODE.bos_token_id not in CODE.ids(f'BOS = "{BOS}"')


def test_transformers_reads_the_same_folder_to_the_same_ids():
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tokenizer.FOLDER, local_files_only=True)
    text = tasks.sample()[0][1]
    assert theirs(text, add_special_tokens=False)["input_ids"] == CODE.ids(text)
    assert theirs.decode(CODE.ids(text)) == text
    assert (theirs.bos_token, theirs.bos_token_id) == (BOS, 0)


def test_learning_it_again_from_the_same_text_gives_the_same_file(tmp_path):
    texts = [text for _, text in tasks.sample()]
    tokenizer.learn(tmp_path / "one", texts)
    tokenizer.learn(tmp_path / "two", texts)
    for file in tokenizer.FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
