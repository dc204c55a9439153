import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_our_folders_do_not_shadow_what_transformers_imports():
    # A package `kernels` or `vocab` at the root would be found before Hugging Face's `kernels`.
    code = "import transformers; from transformers import BertModel; print(BertModel.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "BertModel"


def test_no_init_file_makes_the_folders_packages():
    assert not (ROOT / "kernels" / "__init__.py").exists()
    assert not (ROOT / "vocab" / "__init__.py").exists()
