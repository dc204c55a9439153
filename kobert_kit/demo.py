"""``kobert demo``: all stages on the bundled sample, on a CPU, in a few minutes."""

import logging
from pathlib import Path

from kobert_kit.batches.options import DataConfig, Phase
from kobert_kit.corpus.build import build_corpus
from kobert_kit.fill_mask import MaskFiller
from kobert_kit.pretraining.config import ModelConfig, OptimizerConfig, PretrainConfig
from kobert_kit.pretraining.run import pretrain
from kobert_vocab import train
from kobert_vocab.new_folder import refuse_existing

logger = logging.getLogger(__name__)

SAMPLE = Path(__file__).parent / "sample"

VOCAB_SIZE = 12_000  # 5,000 of them are the alphabets of 104 languages and the special pieces

# Shown as pieces in the report.
SENTENCES = {
    "ko": "할머니께서는 배웠던 노래를 부르며 골목길을 걸으셨습니다. 재밌었음 ㅋㅋㅋㅋ",
    "en": "My younger brother reads a book every night.",
    "ja": "弟は毎晩本を読みます。",
    "zh-Hans": "我弟弟每天晚上看书。",
    "de": "Mein jüngerer Bruder liest jeden Abend ein Buch.",
    "ru": "Мой младший брат каждый вечер читает книгу.",
    "ar": "أخي الأصغر يقرأ كتابا كل ليلة.",
    "hi": "मेरा छोटा भाई हर रात एक किताब पढ़ता है।",
    "th": "น้องชายของฉันอ่านหนังสือทุกคืน",
}

# New sentences, in the words of the sample.
MASKED = (
    "오늘은 날씨가 춥지만 하늘은 [MASK].",
    "나는 매일 아침 차를 한 [MASK] 마신다.",
    "이 영화 진짜 [MASK] ㅋㅋ",
    "제2조(정의) 이 규칙[MASK] 사용하는 용어의 뜻은 다음과 같다.",
    "I drink a cup of [MASK] every morning.",
    "Mi hermano menor lee un [MASK] todas las noches.",
    "Мой младший [MASK] читает книгу.",
)


def run_demo(out: Path, *, steps: int) -> None:
    """Build a vocabulary and a corpus, pretrain, fill masks, write the report.

    Args:
        out: folder to make.
        steps: of pretraining.

    Raises:
        InputError: ``out`` is there already, or there is no step.
    """
    refuse_existing(out)
    run = out / "run"
    config = _config(out, run, steps)
    out.mkdir(parents=True, exist_ok=True)
    inputs: list[str | Path] = [f"ko={SAMPLE / 'ko'}", SAMPLE / "languages"]
    logger.info("1 of 3: a vocabulary of %s pieces from the bundled sample", f"{VOCAB_SIZE:,}")
    # Languages by the size of their text, but for Korean: twelve sentences are too few to weigh up.
    train(inputs, out / "vocab", size=VOCAB_SIZE, alpha=1.0, korean_floor=0.4)
    logger.info("2 of 3: a corpus of token shards")
    build_corpus(inputs, vocab=out / "vocab", out=out / "corpus", held_out=0.03)
    logger.info("3 of 3: pretraining a small BERT for %s steps", f"{steps:,}")
    pretrain(config, sentences=SENTENCES)
    _show_fills(run / "model")
    _show_next(run)


def _config(out: Path, run: Path, steps: int) -> PretrainConfig:
    return PretrainConfig(
        vocab=out / "vocab",
        corpus=out / "corpus",
        out=run,
        steps=steps,
        evaluate_every=max(1, steps // 4),
        model=ModelConfig(
            hidden_size=128,
            layers=2,
            heads=4,
            intermediate_size=512,
            max_positions=128,
            hidden_dropout=0.0,  # so few steps do not overfit, and dropout slows learning down
            attention_dropout=0.0,
            init_std=0.05,  # about 0.02 * sqrt(768 / 128): scores as large as BERT-Base starts with
        ),
        data=DataConfig(length=64, windows=12, languages=Phase(floors={"ko": 0.5})),
        # Of rates 1e-3 to 4e-3 this one learns fastest; at 4e-3 it stays at the unigram loss.
        optimizer=OptimizerConfig(learning_rate=2e-3, warmup=0.1),
    )


def _show_fills(model: Path) -> None:
    filler = MaskFiller(model)
    print()  # noqa: T201
    for text in MASKED:
        [fills] = filler.fill(text, top=4)
        guesses = "   ".join(f"{fill.piece} {fill.probability:.0%}" for fill in fills)
        print(f"  {text}\n      {guesses}")  # noqa: T201


def _show_next(run: Path) -> None:
    print(  # noqa: T201
        f"""
report   {run / "report.html"}   open it in a browser
model    {run / "model"}   transformers loads it: AutoModelForMaskedLM.from_pretrained
next     kobert fill-mask {run / "model"} "나는 매일 아침 [MASK] 마신다."
yours    kobert vocab train ko=YOUR_TEXT --out vocab   (README.md has the rest)"""
    )
