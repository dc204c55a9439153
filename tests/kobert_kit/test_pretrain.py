import dataclasses
import json
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from kobert_kit.batches.batches import Batches
from kobert_kit.batches.options import DataConfig, Masking, Phase
from kobert_kit.encoder import PretrainingModel
from kobert_kit.fill_mask import MaskFiller
from kobert_kit.pretraining.config import (
    ModelConfig,
    OptimizerConfig,
    PretrainConfig,
    TrainingPhase,
)
from kobert_kit.pretraining.evaluation import UNSEEN, entropy, unigram_loss
from kobert_kit.pretraining.plan import operations_of_a_token
from kobert_kit.pretraining.run import pretrain
from kobert_kit.pretraining.verify_resume import verify_resume
from kobert_vocab.errors import InputError


@pytest.fixture
def config(vocab_folder, corpus_folder, tmp_path):
    return PretrainConfig(
        vocab=vocab_folder,
        corpus=corpus_folder,
        out=tmp_path / "run",
        steps=12,
        evaluate_every=6,
        evaluate_sequences=3,
        model=ModelConfig(
            hidden_size=32,
            layers=2,
            heads=2,
            intermediate_size=64,
            max_positions=48,
            hidden_dropout=0.1,
            attention_dropout=0.1,
        ),
        data=DataConfig(length=40, windows=4),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup=0.2),
    )


@pytest.fixture(scope="module")
def finished(vocab_folder, corpus_folder, tmp_path_factory):
    """A run long enough to have learnt something."""
    config = PretrainConfig(
        vocab=vocab_folder,
        corpus=corpus_folder,
        out=tmp_path_factory.mktemp("pretrain") / "run",
        steps=150,
        evaluate_every=100,
        model=ModelConfig(
            hidden_size=64, layers=2, heads=2, intermediate_size=128, max_positions=64
        ),
        data=DataConfig(length=40, windows=16, languages=Phase(floors={"ko": 0.8})),
        optimizer=OptimizerConfig(learning_rate=5e-3, warmup=0.1),
    )
    return config, pretrain(config, sentences={"ko": "서울에서 만나요 ㅋㅋ"})


def metrics_of(run):
    return [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]


def weights_of(run):
    return load_file(run / "model" / "model.safetensors")


def same_bits(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns(finished):
    config, evaluation = finished
    rows = [row for row in metrics_of(config.out) if "masked_loss" in row]
    first = np.mean([row["masked_loss"] for row in rows[:5]])
    last = np.mean([row["masked_loss"] for row in rows[-5:]])
    assert first == pytest.approx(np.log(4_000), abs=0.3)  # nothing known: all pieces alike
    assert last < first - 1.5
    assert evaluation.loss < first - 1
    assert set(evaluation.languages) == {"ko", "en", "de", "ru", "th", "zh-Hans", "ar"}


def test_the_model_folder_is_for_transformers(finished):
    config, _ = finished
    folder = config.out / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder)
    assert len(tokenizer) == model.config.vocab_size
    text = "오늘은 [MASK]에서 비가 내렸다."
    inputs = tokenizer(text, return_tensors="pt")
    at = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero()[0, 0]
    with torch.no_grad():
        best = model(**inputs).logits[0, at].softmax(0).topk(5)
    [fills] = MaskFiller(folder).fill(text)
    assert [f.piece for f in fills] == tokenizer.convert_ids_to_tokens(best.indices.tolist())
    assert [f.probability for f in fills] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_the_report_stands_alone(finished):
    config, _ = finished
    page = (config.out / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    for part in (
        "gradient norm",
        "masked tokens right",
        "held out",
        "Filled masks",
        "Languages",
        "Korean",
        "서울",
        "ㅋㅋ",
    ):
        assert part in page
    for outside in ("<script", 'src="http', " href=", "@import", str(config.out)):
        assert outside not in page


def test_no_path_gets_into_the_model(finished):
    config, _ = finished
    for path in (config.out / "model").iterdir():
        assert str(config.out.parent).encode() not in path.read_bytes(), path.name


def test_stop_and_resume_is_as_if_never_stopped(config, tmp_path):
    pretrain(config)
    parted = dataclasses.replace(config, out=tmp_path / "parted")
    stop_at(parted, 6)
    assert len(metrics_of(parted.out)) < len(metrics_of(config.out))
    pretrain(parted, resume=True)
    assert same_bits(weights_of(config.out), weights_of(parted.out))
    assert timeless(config.out) == timeless(parted.out)


@pytest.mark.parametrize(
    ("data", "answers"),
    [
        ({"pairing": "none", "masking": Masking(unit="word", rule="bernoulli")}, False),
        ({"pairing": "order", "masking": Masking(rate=0.3, last_rate=0.15, steps=3)}, True),
        ({"languages": Phase(most_epochs=2.0, windows=32)}, True),
    ],
)
def test_all_kinds_of_batches_can_be_learnt_from_and_resumed(config, tmp_path, data, answers):
    config = dataclasses.replace(
        config, steps=8, evaluate_every=8, data=dataclasses.replace(config.data, **data)
    )
    evaluation = pretrain(config)
    assert (evaluation.next_accuracy is not None) == answers
    assert np.isfinite(evaluation.loss)
    parted = dataclasses.replace(config, out=tmp_path / "parted")
    stop_at(parted, 3)
    pretrain(parted, resume=True)
    assert same_bits(weights_of(config.out), weights_of(parted.out))


@pytest.mark.parametrize("kind", ["bert", "muon"])
def test_other_optimisers_resume_too(config, tmp_path, kind):
    config = dataclasses.replace(
        config, optimizer=OptimizerConfig(kind=kind, learning_rate=3e-3, schedule="wsd_sqrt")
    )
    pretrain(config)
    parted = dataclasses.replace(config, out=tmp_path / "parted")
    stop_at(parted, 6)
    pretrain(parted, resume=True)
    assert same_bits(weights_of(config.out), weights_of(parted.out))


def test_parts_of_a_batch_give_the_gradient_of_the_whole(config, tmp_path):
    still = dataclasses.replace(config.model, hidden_dropout=0.0, attention_dropout=0.0)
    runs = []
    for micro_batches in (1, 4):
        out = tmp_path / str(micro_batches)
        pretrain(dataclasses.replace(config, model=still, micro_batches=micro_batches, out=out))
        runs.append(out)
    rows = [[row for row in metrics_of(run) if "masked_loss" in row] for run in runs]
    for whole, parts in zip(*rows, strict=True):
        for name in ("masked_loss", "next_loss", "gradient_norm", "masked_accuracy"):
            assert parts[name] == pytest.approx(whole[name], rel=2e-4, abs=1e-6)
        assert parts["tokens"] == whole["tokens"]


@pytest.mark.parametrize("family", ["bert", "modern"])
def test_to_compute_layers_again_changes_no_bit(config, tmp_path, family):
    model = dataclasses.replace(config.model, family=family)
    config = dataclasses.replace(
        config, steps=3, model=model, data=dataclasses.replace(config.data, pairing="none")
    )
    pretrain(config)
    again = dataclasses.replace(config, recompute=True, out=tmp_path / "again")
    pretrain(again)
    assert same_bits(weights_of(config.out), weights_of(again.out))


def test_the_operations_of_a_step_are_those_of_its_text(config, corpus, vocabulary):
    pretrain(config, stop_after=1)
    row, _ = metrics_of(config.out)
    batch = Batches.of(corpus, vocabulary, config.seed, config.data)[0]
    texts = [int(n) for n in np.diff(batch.cu_seqlens)][: int((batch.language >= 0).sum())]
    attended = sum(n * n for n in texts) / sum(texts)
    masked = int((batch.labels >= 0).sum()) / sum(texts)
    each = operations_of_a_token(config.model, round(attended), len(vocabulary), masked)
    assert row["tokens"] == sum(texts) < config.data.windows * config.data.length
    assert row["tflops"] == pytest.approx(each * row["tokens_per_second"] / 1e12, rel=1e-6)


def test_an_evaluation_takes_no_more_at_once_than_a_part_of_a_batch(config, monkeypatch):
    held_out, sizes = Batches.held_out, []

    def noted(self, most, **options):
        for batch in held_out(self, most, **options):
            sizes.append(len(batch.tokens))
            yield batch

    monkeypatch.setattr(Batches, "held_out", noted)
    pretrain(dataclasses.replace(config, steps=1, micro_batches=4))
    assert len(sizes) > 4
    assert max(sizes) <= config.data.length


def test_loaders_change_nothing(config, tmp_path):
    for loaders in (0, 1):
        pretrain(dataclasses.replace(config, loaders=loaders, out=tmp_path / str(loaders)))
    assert same_bits(weights_of(tmp_path / "0"), weights_of(tmp_path / "1"))


@pytest.fixture
def poisoned(monkeypatch):
    """Step 3 has a loss that is not a number."""
    from kobert_kit.pretraining import train_step as module

    backward = module._backward

    def poison(run, share, **options):
        found = backward(run, share, **options)
        if run.progress.step != 3:
            return found
        return dataclasses.replace(found, masked=float("nan"))

    monkeypatch.setattr(module, "_backward", poison)


def test_a_loss_that_is_no_number_stops_the_run(config, poisoned):
    with pytest.raises(InputError, match=r"step 3: .*--step 3 shows the batch"):
        pretrain(config)
    assert [row["step"] for row in metrics_of(config.out)] == [1, 2, 3]


def test_or_leaves_the_batch_out(config, poisoned):
    pretrain(dataclasses.replace(config, bad_step="skip"))
    rows = [row for row in metrics_of(config.out) if "masked_loss" in row]
    assert [(row["step"], row["masked_loss"]) for row in rows if "skipped" in row] == [(4, None)]
    weights = weights_of(config.out)
    assert all(torch.isfinite(weight).all() for weight in weights.values())


def test_or_goes_back_and_leaves_it_out_from_there(config, poisoned, tmp_path):
    skipped = dataclasses.replace(config, bad_step="skip", out=tmp_path / "skipped")
    pretrain(skipped)
    back = dataclasses.replace(config, bad_step="roll_back", evaluate_every=2)
    pretrain(back)
    assert same_bits(weights_of(skipped.out), weights_of(back.out))
    rows = metrics_of(back.out)
    [rolled] = [row for row in rows if "rolled_back_from" in row]
    assert (rolled["step"], rolled["rolled_back_from"]) == (2, 3)
    steps = [row["step"] for row in rows if "masked_loss" in row]
    assert steps == list(range(1, 13))
    assert [row["step"] for row in rows if "skipped" in row] == [4]


def test_without_a_checkpoint_it_goes_back_to_the_beginning(config, poisoned, tmp_path):
    skipped = dataclasses.replace(config, bad_step="skip", out=tmp_path / "skipped")
    pretrain(skipped)
    back = dataclasses.replace(config, bad_step="roll_back")
    pretrain(back)
    assert same_bits(weights_of(skipped.out), weights_of(back.out))


def test_a_leap_of_the_loss_is_a_bad_step(config, monkeypatch):
    from kobert_kit.pretraining import train_step as module

    backward = module._backward

    def leap(run, share, **options):
        found = backward(run, share, **options)
        more = 4.0 if run.progress.step == 30 else 0.0
        return dataclasses.replace(found, masked=found.masked + more)

    monkeypatch.setattr(module, "_backward", leap)
    long = dataclasses.replace(config, steps=32, evaluate_every=40, leap=3.0, bad_step="skip")
    pretrain(long)
    assert [row["step"] for row in metrics_of(long.out) if "skipped" in row] == [31]


def test_phases_have_batches_and_rates_of_their_own_and_resume_across_their_border(
    config, tmp_path
):
    phases = (
        TrainingPhase(share=0.5, learning_rate=3e-3, data=DataConfig(length=24, windows=8)),
        TrainingPhase(
            share=0.5,
            learning_rate=1e-3,
            data=DataConfig(length=48, windows=4, languages=Phase(languages=("ko",))),
        ),
    )
    phased = dataclasses.replace(config, phases=phases, evaluate_every=5, leap=9.0)
    pretrain(phased)
    rows = [row for row in metrics_of(phased.out) if "masked_loss" in row]
    assert all(row["tokens"] <= 24 * 8 for row in rows)
    rates = [row["learning_rate"] for row in rows]
    # Linear: of the peak, the steps that are left of those after the warm-up.
    assert rates[5:7] == pytest.approx([3e-3 * (7 / 12) / 0.8, 1e-3 * (6 / 12) / 0.8])
    parted = dataclasses.replace(phased, out=tmp_path / "parted")
    for stop_after in (3, 6, 8, None):
        pretrain(parted, resume=parted.out.exists(), stop_after=stop_after)
    assert same_bits(weights_of(phased.out), weights_of(parted.out))
    shown = [
        row["evaluation"]["languages"] for row in metrics_of(phased.out) if "masked_loss" not in row
    ]
    assert [len(languages) for languages in shown] == [7, 7, 7]


def test_a_fault_in_a_later_phase_is_found_before_the_first_step(config):
    data = DataConfig(length=40, windows=4, languages=Phase(languages=("tlh",)))
    phases = (TrainingPhase(share=0.9, data=config.data), TrainingPhase(share=0.1, data=data))
    with pytest.raises(InputError, match="'tlh' is in a phase"):
        pretrain(dataclasses.replace(config, phases=phases))
    assert not config.out.exists()


def test_a_moving_average_is_what_is_evaluated_and_saved(config, tmp_path):
    averaged = dataclasses.replace(
        config, optimizer=dataclasses.replace(config.optimizer, average=0.75)
    )
    plain = dataclasses.replace(config, out=tmp_path / "plain", evaluate_every=1)
    pretrain(plain, stop_after=1)
    begun = load_file(plain.out / "checkpoints/step-00000001/model.safetensors")
    pretrain(averaged, stop_after=1)
    average, found = weights_of(averaged.out), {}
    first = PretrainingModel(PretrainingModel.from_pretrained(averaged.out / "model").config)
    first.initialise(torch.Generator().manual_seed(config.seed))
    first.save_pretrained(tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    for name, value in average.items():
        torch.testing.assert_close(value, 0.75 * found[name] + 0.25 * begun[name])
    # The weights that go on are not the average.
    assert same_bits(begun, load_file(averaged.out / "checkpoints/step-00000001/model.safetensors"))


def test_a_moving_average_resumes(config, tmp_path):
    config = dataclasses.replace(
        config, optimizer=dataclasses.replace(config.optimizer, average=0.9)
    )
    pretrain(config)
    parted = dataclasses.replace(config, out=tmp_path / "parted")
    pretrain(parted, stop_after=5)
    pretrain(parted, resume=True)
    assert same_bits(weights_of(config.out), weights_of(parted.out))


def test_a_budget_ends_a_run_and_a_stop_does_not_give_it_more(config, monkeypatch):
    from kobert_kit.pretraining import run as module

    class Clock:
        """A tenth of a second goes by with each step, and none between."""

        def __init__(self, before):
            self.began, self.before = len(rows_so_far()), before

        def __call__(self):
            return self.before + 0.1 * (len(rows_so_far()) - self.began)

    def rows_so_far():
        return [row for row in metrics_of(timed.out) if "masked_loss" in row]

    timed = dataclasses.replace(config, steps=None, budget="4s", evaluate_every=1000)
    monkeypatch.setattr(module, "_Clock", Clock)
    pretrain(timed, stop_after=25)
    pretrain(timed, resume=True)
    rates = [row["learning_rate"] for row in rows_so_far()]
    assert len(rates) == pytest.approx(40, abs=1)
    assert rates[-1] < 0.05 * config.optimizer.learning_rate
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_out_of_memory_says_what_would_fit(config, monkeypatch):
    from kobert_kit.pretraining import train_step as module

    def too_much(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(module, "_forward_and_backward", too_much)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, 3 * 2**20))
    with pytest.raises(
        InputError, match=r"with 1 micro-batches of 4 windows; .* --micro-batches 2"
    ):
        pretrain(config)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, int(2.7 * 2**20)))
    shutil.rmtree(config.out)
    with pytest.raises(InputError, match="--micro-batches 4"):
        pretrain(config)


def timeless(run):
    """The rows of all steps without their speed, and the last evaluation."""
    rows = metrics_of(run)
    steps = [row for row in rows if "masked_loss" in row]
    by_the_clock = dict.fromkeys(("tokens_per_second", "loader_wait", "tflops"))
    return [row | by_the_clock for row in steps] + rows[-1:]


def stop_at(config, step):
    """Run ``config`` and send SIGTERM when ``step`` steps are logged."""

    def watch():
        path = config.out / "metrics.jsonl"
        while not path.exists() or path.read_text().count("masked_loss") < step:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    # A signal after the run's end would end the tests.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    thread = threading.Thread(target=watch)
    thread.start()
    pretrain(dataclasses.replace(config))
    thread.join()
    signal.signal(signal.SIGTERM, before)


def test_a_stopped_run_leaves_a_model_and_a_checkpoint(config):
    long = dataclasses.replace(config, steps=10_000, evaluate_every=10_000)
    stop_at(long, 3)
    steps = [row["step"] for row in metrics_of(long.out) if "masked_loss" in row]
    assert 3 <= steps[-1] < 200
    MaskFiller(long.out / "model")
    assert [p.name for p in (long.out / "checkpoints").iterdir()] == [f"step-{steps[-1]:08d}"]


def test_a_run_that_was_killed_as_it_wrote_its_settings_begins_again(config):
    config.out.mkdir()
    (config.out / ".config.toml").write_text("steps = ")
    pretrain(dataclasses.replace(config, steps=1), resume=True)
    assert (config.out / "model").exists()


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(config):
    pretrain(config)
    expected = weights_of(config.out)
    shutil.rmtree(config.out / "checkpoints")
    pretrain(config, resume=True)
    assert same_bits(weights_of(config.out), expected)
    assert [row["step"] for row in metrics_of(config.out)] == [*range(1, 7), 6, *range(7, 13), 12]


def test_metrics_after_the_checkpoint_are_logged_once(config):
    pretrain(config)
    with (config.out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 13, "masked_loss": 1.0}\n{"step": 14, "mas')  # the machine died here
    pretrain(config, resume=True)
    assert [row["step"] for row in metrics_of(config.out)] == [*range(1, 7), 6, *range(7, 13), 12]


def test_only_two_checkpoints_are_kept(config):
    pretrain(dataclasses.replace(config, evaluate_every=3))
    names = sorted(p.name for p in (config.out / "checkpoints").iterdir())
    assert names == ["step-00000009", "step-00000012"]


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a flipped bit": flip_a_bit,
    "a cut file": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "no file": lambda path: path.unlink(),
}


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_it_goes_on(
    config, tmp_path, caplog, damage, file
):
    pretrain(config)
    expected, checkpoints = weights_of(config.out), config.out / "checkpoints"
    damage(checkpoints / "step-00000012" / file)
    pretrain(config, resume=True)
    assert f"{checkpoints / 'step-00000012'}: {file} is" in caplog.text
    assert same_bits(weights_of(config.out), expected)
    names = {path.name for path in checkpoints.iterdir()}
    assert names == {"damaged-step-00000012", "step-00000006", "step-00000012"}
    again = [row["step"] for row in metrics_of(config.out)]
    assert again == [*range(1, 7), 6, *range(7, 13), 12]


def test_with_every_checkpoint_damaged_there_is_nothing_to_resume(config):
    pretrain(config)
    for path in (config.out / "checkpoints").rglob("state.json"):
        path.write_text("{}")
    with pytest.raises(InputError, match=r"no checkpoint to resume from.* with another --out"):
        pretrain(config, resume=True)


def test_other_kernels_are_no_reason_to_stop_but_to_warn(config, caplog, monkeypatch):
    pretrain(config)
    monkeypatch.setenv("KOBERT_KERNELS", "layer_norm=torch")
    pretrain(config, resume=True)
    assert "goes on with layer_norm=torch: the last bits" in caplog.text


def test_a_machine_is_tried(config):
    assert verify_resume(config).endswith("weights equal, bit for bit")
    assert not config.out.exists()


def test_a_machine_that_loses_a_bit_is_told(config, monkeypatch):
    from kobert_kit.pretraining import run_state as module

    load = module.load_checkpoint

    def lossy(out, trained, *others):
        progress = load(out, trained, *others)
        with torch.no_grad():
            trained.model.next_sentence.bias += 1e-3
        return progress

    monkeypatch.setattr(module, "load_checkpoint", lossy)
    with pytest.raises(InputError, match=r"differs by up to .* does not give the same bits twice"):
        verify_resume(config)


def test_resuming_another_run_is_refused(config):
    pretrain(config)
    with pytest.raises(InputError, match="its seed is 0, this run's is 5"):
        pretrain(dataclasses.replace(config, seed=5), resume=True)


def test_an_existing_run_is_not_overwritten(config):
    pretrain(config)
    with pytest.raises(InputError, match="already there"):
        pretrain(config)


def test_a_folder_of_something_else_is_not_made_a_run(config):
    config.out.mkdir()
    (config.out / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"not a run's folder \(no config.toml"):
        pretrain(config, resume=True)
    assert [path.name for path in config.out.iterdir()] == ["thesis.txt"]


def test_nothing_to_resume(config):
    for _ in range(2):  # a launcher tries again
        with pytest.raises(InputError, match="no checkpoint"):
            pretrain(config, resume=True)
        assert not config.out.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"data": DataConfig(length=4_096)}, "data.length is 4096"),
        ({"steps": None}, "--steps or --budget"),
        ({"budget": "1h"}, "not both"),
        ({"steps": None, "budget": "1 hour"}, "write it as 24h"),
        ({"steps": None, "budget": "-1h"}, "above 0"),
        ({"leap": 0.0}, "leap is 0"),
        ({"seed": 1 << 63}, "seed is 9223372036854775808"),
        ({"model": ModelConfig(init_std=0.0)}, "init_std is 0"),
        ({"micro_batches": 3}, "4 windows cannot be shared out to 3 equal parts"),
        ({"phases": (TrainingPhase(share=0.5), TrainingPhase(share=0.6))}, "0.5 [+] 0.6"),
        ({"phases": (TrainingPhase(share=1.0),)}, "data.length is 128; the model has only"),
    ],
)
def test_a_config_that_cannot_be(config, change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(config, **change)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (OptimizerConfig, {"learning_rate": 0}, "learning_rate"),
        (OptimizerConfig, {"average": 1.0}, "average"),
        (OptimizerConfig, {"schedule": "wsd", "warmup": 0.6, "decay": 0.5}, "more than the whole"),
        (OptimizerConfig, {"learning_rate": float("nan")}, "learning_rate is nan"),
        (OptimizerConfig, {"clip": -1.0}, "clip is -1"),
        (OptimizerConfig, {"eps": 0.0}, "eps is 0"),
        (OptimizerConfig, {"beta1": 1.5}, "beta1 is 1.5"),
        (OptimizerConfig, {"weight_decay": -0.1}, "weight_decay is -0.1"),
        (TrainingPhase, {"share": 0.0}, "share is 0"),
        (TrainingPhase, {"share": 1.0, "learning_rate": 0}, "learning_rate is 0"),
        (DataConfig, {"first_windows": 32}, "belong together"),
        (DataConfig, {"first_windows": 3, "ramp_steps": 5}, "must divide 256"),
    ],
)
def test_parts_of_a_config_that_cannot_be(make, options, message):
    with pytest.raises(InputError, match=message):
        make(**options)


def test_cuda_where_there_is_none(config):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(InputError, match="no CUDA device"):
        pretrain(dataclasses.replace(config, device="cuda"))


def test_unigram_loss():
    counts = np.array([6, 3, 1, 0])
    labels = np.repeat([0, 1, 2], [6, 3, 1])
    # Smoothing moves it a little above the entropy of the counts themselves.
    assert unigram_loss(labels, counts) == pytest.approx(entropy(labels), rel=0.03)
    assert unigram_loss(labels, counts) > entropy(labels)
    assert unigram_loss(np.array([3]), counts) == pytest.approx(-np.log(UNSEEN / (10 + 4 * UNSEEN)))


def test_entropy():
    assert entropy(np.array([1, 1, 1, 1])) == 0
    assert entropy(np.arange(8)) == pytest.approx(np.log(8))
