"""``kobert vocab``: train, verify, report, extend, convert."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

from kobert_kit.commands.arguments import Folder, Inputs, Texts
from kobert_vocab.id_layout import Style

app = SubcommandApp()


@app.command(name="train")
def train(
    inputs: Inputs,
    /,
    *,
    out: Path,
    size: int = 32_000,
    boundaries: Literal["all", "je", "none"] = "all",
    rate: float = 0.92,
    analyser: Annotated[Literal["kiwi", "rules"] | None, arg(metavar="{kiwi,rules}")] = None,
    alpha: float = 0.3,
    korean_floor: float = 0.15,
    korean_cap: float = 1.0,
    parallel: Path | None = None,
    words: Path | None = None,
    unused: int = 100,
    work: Path | None = None,
) -> None:
    """Build a Korean-aware SentencePiece vocabulary from text.

    Args:
        inputs: Files or folders of .txt, .jsonl, .csv, .tsv, .wet, Wikipedia .xml (also .gz, .bz2
            or .zst) and .parquet, or data sets of the Hugging Face hub (wikipedia:20231101.ko). A
            language tag may stand before one: ko=news.jsonl.gz. Without a tag the file's or
            folder's name tells.
        out: Folder to make; transformers' AutoTokenizer loads it.
        size: Pieces, special ones included.
        boundaries: What Korean pieces should not cross: all morphemes, only where particles,
            endings and suffixes begin (je), or none.
        rate: How much of a word's weight respects these boundaries: at 1 hardly a piece crosses
            one, lower rates let frequent words and endings stay whole.
        analyser: What finds the morphemes; kiwi where it is installed, else rules.
        alpha: Language shares are text sizes to this power: 1 as the text is, 0 all equal.
        korean_floor: Least share of Korean, if it is there.
        korean_cap: Largest share of Korean, if it is not alone.
        parallel: Folder of line-aligned LANGUAGE.txt files, en.txt among them: shares are moved
            until languages need about as many tokens to say the same.
        words: File of words that must be one piece each, one per line.
        unused: Ids kept free, [unused0] and so on.
        work: Folder for the steps, kept afterwards: a later run with other options is faster.
    """
    from kobert_vocab import train

    train(
        inputs,
        out,
        size=size,
        boundaries=boundaries,
        rate=rate,
        analyser=analyser,
        alpha=alpha,
        korean_floor=korean_floor,
        korean_cap=korean_cap,
        parallel=parallel,
        words=words,
        unused=unused,
        work=work,
    )
    print(f"vocabulary: {out}   report: {out / 'report.html'}")  # noqa: T201


@app.command(name="verify")
def verify(vocab: Folder, inputs: Inputs = (), /) -> None:
    """Prove that SentencePiece and the fast tokenizer give the same ids.

    Args:
        vocab: Vocabulary folder.
        inputs: Text to try as well; without it the folder's own hard cases alone.
    """
    from kobert_vocab import find_sources, read_all, verify

    sources = find_sources(inputs) if inputs else []
    texts = (line for doc in read_all(sources, "verify") for line in doc.text.splitlines())
    count = verify(vocab, texts)
    print(f"{vocab}: {count:,} texts, no difference")  # noqa: T201


@app.command(name="report")
def report(
    vocabularies: Annotated[Positional[tuple[str, ...]], arg(metavar="DIR...")],
    /,
    *,
    on: Texts,
    gold: tuple[Path, ...] = (),
    parallel: Path | None = None,
    out: Path | None = None,
    json: Path | None = None,
) -> None:
    """Compare vocabularies side by side: ours, any Hugging Face or SentencePiece one.

    Args:
        vocabularies: Vocabulary folders, tokenizer.json files, SentencePiece .model files.
        on: Text to measure on, as INPUT of vocab train; best such as none was learnt from.
        gold: Files of gold morphemes: Universal Dependencies .conllu, KLUE-DP .tsv; also packed.
        parallel: Folder of line-aligned LANGUAGE.txt files, en.txt among them, for parity.
        out: HTML page to write.
        json: JSON file to write.
    """
    from kobert_vocab.report import as_json, compare, render, write_page

    for path in filter(None, (out, json)):
        path.parent.mkdir(parents=True, exist_ok=True)  # before long work
    comparison = compare(vocabularies, on, gold=gold, parallel=parallel)
    print(render(comparison), end="")  # noqa: T201
    if json:
        json.write_text(as_json(comparison), encoding="utf-8")
    if out:
        write_page(comparison, out)
        print(f"report: {out}")  # noqa: T201


@app.command(name="extend")
def extend(
    base: Annotated[Positional[str], arg(metavar="BASE")],
    /,
    *,
    texts: Annotated[tuple[str, ...], arg(name="with", metavar="INPUT...")],
    add: int,
    out: Path,
    size: int | None = None,
    on: tuple[str, ...] = (),
) -> None:
    """Add Korean or domain pieces to multilingual BERT's, XLM-R's or a like vocabulary.

    Args:
        base: Folder with tokenizer.json, or a model's name on the Hugging Face hub.
        texts: Text to learn pieces from, as INPUT of vocab train; or one vocabulary folder.
        add: Pieces to add.
        out: Folder to make; embeddings.safetensors in it says how new embeddings begin.
        size: Of the vocabulary that pieces are taken from; 32,000 if not given.
        on: Text to measure the gain on; the same text if not given.
    """
    from kobert_vocab.extension.extend import extend

    extended = extend(base, texts, out, add=add, size=size, on=on)
    print(f"vocabulary: {out}   new ids from {extended.base_size:,}")  # noqa: T201


@app.command(name="convert")
def convert(
    model: Annotated[Positional[Path], arg(metavar="SPM")],
    /,
    *,
    out: Path,
    style: Style | None = None,
) -> None:
    """Make a fast tokenizer of a SentencePiece model: KoBERT's, XLM-R's or any other.

    Args:
        model: A .model file, or a model's folder with one in it.
        out: Folder to make; transformers' AutoTokenizer loads it.
        style: Of ids and pairs, where the model's folder does not tell: bert ([CLS] A [SEP] B
            [SEP]), roberta (<s> A </s></s> B </s>), xlnet (A <sep> B <sep> <cls>), or roberta's
            with the ids of xlm-roberta or camembert.
    """
    from kobert_vocab.conversion import convert

    layout = convert(model, out, style=style)
    special = "  ".join(f"{name} {layout.id_of(name)}" for name in layout.names.values())
    print(f"vocabulary: {out}   {len(layout.pieces):,} ids   {special}")  # noqa: T201
