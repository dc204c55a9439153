import pytest

from kobert_kit.demo import MASKED, SAMPLE, run_demo
from kobert_vocab.errors import InputError
from kobert_vocab.languages import languages


def test_all_stages(tmp_path, capsys):
    out = tmp_path / "demo"
    run_demo(out, steps=2)
    for path in ("vocab/spm.model", "corpus/manifest.json", "run/report.html", "run/model"):
        assert (out / path).exists(), path
    printed = capsys.readouterr().out
    assert all(text in printed for text in MASKED)
    assert str(out / "run" / "report.html") in printed.splitlines()[-4]
    with pytest.raises(InputError, match="already there"):
        run_demo(out, steps=2)


def test_no_steps_are_refused_before_anything_is_made(tmp_path):
    with pytest.raises(InputError, match="steps is 0"):
        run_demo(tmp_path / "demo", steps=0)
    assert not (tmp_path / "demo").exists()


def test_the_sample_is_what_its_readme_says():
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    total = 0
    for path in sorted((SAMPLE / "ko").iterdir()):
        lines = path.read_text(encoding="utf-8").splitlines()
        sentences, documents = sum(map(bool, lines)), lines.count("") + 1
        assert f"| `{path.name}` | {sentences} | {documents} |" in readme
        total += sentences
    assert total >= 1_500


def test_every_language_of_multilingual_bert_has_its_sentences():
    files = {path.stem: path for path in (SAMPLE / "languages").iterdir()}
    assert set(files) == {code for code, language in languages().items() if language.mbert}
    for code, path in files.items():
        documents = path.read_text(encoding="utf-8").split("\n\n")
        assert [len(document.strip().split("\n")) for document in documents] == [3, 3, 3, 3], code
