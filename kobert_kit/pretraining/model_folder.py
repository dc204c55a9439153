"""``model/`` in a run's folder: what `transformers` loads."""

import json
from pathlib import Path
from shutil import copyfile, rmtree

from torch import Tensor

from kobert_kit.encoder.huggingface.folder import write_folder
from kobert_kit.pretraining.evaluation import Evaluation
from kobert_kit.pretraining.model_card import write_model_card
from kobert_kit.pretraining.run_state import Run
from kobert_vocab.new_folder import new_folder

TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "spm.model"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.txt"),  # of other models
)


def write_model(run: Run, weights: dict[str, Tensor], evaluation: Evaluation) -> None:
    """Write the weights, with the tokenizer's files and the model card beside them."""
    out = run.config.out / "model"
    rmtree(out, ignore_errors=True)  # an older one, of a run that goes on
    with new_folder(out) as folder:
        write_folder(folder, run.trained.model.config, weights)
        for name in TOKENIZER_FILES:
            if (run.config.vocab / name).exists():
                copyfile(run.config.vocab / name, folder / name)
        if run.shape.family == "modern":
            _leave_out_segments(folder / "tokenizer_config.json")
        write_model_card(folder, run.config, run.trained.model, evaluation, run.made_with)


def _leave_out_segments(path: Path) -> None:
    """ModernBERT takes none: before version 5 `transformers` stops at the argument."""
    settings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    names = settings.get("model_input_names", ["input_ids", "attention_mask"])
    settings["model_input_names"] = [name for name in names if name != "token_type_ids"]
    text = json.dumps(settings, ensure_ascii=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
