"""A tokenizer of whole words, for nets that know few."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def tokenizer(texts: Iterable[str], context: int) -> Any:
    """Make the tokenizer: the words of the texts, the most frequent first, and letters.

    Each letter is a piece at a word's start and within it, as BERT's, so that no text is unknown.
    Nothing is left to chance: `tokenizers` breaks ties between pieces otherwise in each run.

    Parameters
    ----------
    texts : iterable of str
    context : int
        Tokens of the longest text.

    Returns
    -------
    transformers.BertTokenizer
    """
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from transformers import BertTokenizer

    clean, split = BertNormalizer().normalize_str, BertPreTokenizer().pre_tokenize_str
    counted = Counter(word for text in texts for word, _ in split(clean(text)))
    words = sorted(counted, key=lambda word: (-counted[word], word))
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = [*SPECIAL.values(), *words, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    return BertTokenizer(vocabulary, model_max_length=context, **SPECIAL)
