"""``kobert demo``: all stages on the bundled sample, on a CPU, in a few minutes."""

from pathlib import Path

from kobert_kit.corpus.build import build_corpus
from kobert_kit.fill_mask import MaskFiller
from kobert_kit.pretraining.config import DataConfig, ModelConfig, OptimizerConfig, PretrainConfig
from kobert_kit.pretraining.run import pretrain
from kobert_vocab import train
from kobert_vocab.new_folder import refuse_existing

SAMPLE = Path(__file__).parent / "sample"

VOCAB_SIZE = 8_000  # 5,000 of them are the alphabets of 104 languages and the special pieces

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

# Half of the fills are sentences of the sample that training saw, half are new.
MASKED = (
    "오늘은 날씨가 춥지만 하늘은 [MASK].",
    "어머니는 시장에서 신선한 [MASK]과 우유를 산다.",
    "이 영화 진짜 [MASK] ㅋㅋ",
    "제1조(목적) 이 [MASK]은 필요한 사항을 정함을 목적으로 한다.",
    "I drink a cup of [MASK] every morning.",
    "私は毎朝お[MASK]を飲みます。",
    "Mi hermano menor lee un [MASK] todas las noches.",
)


def run_demo(out: Path) -> None:
    """Build a vocabulary and a corpus, pretrain, fill masks, write the report.

    Raises:
        InputError: ``out`` is there already.
    """
    refuse_existing(out)
    out.mkdir(parents=True, exist_ok=True)
    inputs: list[str | Path] = [f"ko={SAMPLE / 'ko'}", SAMPLE / "languages"]
    train(inputs, out / "vocab", size=VOCAB_SIZE)
    build_corpus(inputs, vocab=out / "vocab", out=out / "corpus", held_out=0.03)
    run = out / "run"
    pretrain(_config(out, run), sentences=SENTENCES)
    _show_fills(run / "model")
    _show_next(run)


def _config(out: Path, run: Path) -> PretrainConfig:
    return PretrainConfig(
        vocab=out / "vocab",
        corpus=out / "corpus",
        out=run,
        steps=600,
        evaluate_every=200,
        model=ModelConfig(
            hidden_size=128,
            layers=4,
            heads=4,
            intermediate_size=512,
            max_positions=128,
            hidden_dropout=0.1,
            attention_dropout=0.0,
        ),
        data=DataConfig(length=64, sequences=32, alpha=0.3, floors={"ko": 0.5}),
        optimizer=OptimizerConfig(learning_rate=2e-3, warmup=0.1),
    )


def _show_fills(model: Path) -> None:
    filler = MaskFiller(model)
    for text in MASKED:
        [fills] = filler.fill(text, top=4)
        guesses = "  ".join(f"{fill.piece} {fill.probability:.0%}" for fill in fills)
        print(f"  {text}\n      {guesses}")  # noqa: T201


def _show_next(run: Path) -> None:
    print(  # noqa: T201
        f"""
report   {run / "report.html"}   (open it in a browser)
model    {run / "model"}   (transformers loads it: AutoModelForMaskedLM.from_pretrained)
next     kobert fill-mask {run / "model"} "나는 매일 아침 [MASK]을 마신다."
yours    kobert vocab train ko=YOUR_TEXT --out vocab   (README.md has the rest)"""
    )
