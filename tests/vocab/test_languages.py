from pathlib import Path

import pytest

from kobert_vocab import InputError
from kobert_vocab.languages import (
    SENTENCE_ENDERS,
    find_language,
    guess_language,
    language_named,
    language_of_file,
    languages,
)


def test_there_are_104_of_multilingual_bert_and_more() -> None:
    known = languages()
    assert sum(language.mbert for language in known.values()) == 104
    assert len(known) > 400
    assert all(language.code == code for code, language in known.items())


def test_the_languages_without_spaces_are_marked() -> None:
    without = {code for code, language in languages().items() if not language.spaces}
    assert {"ja", "zh-Hans", "zh-Hant", "th", "khm", "lao", "my", "bod"} <= without
    assert not without & {"ko", "en", "vi", "hi", "ar"}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ko", "ko"),
        ("KO", "ko"),
        ("kor", "ko"),
        ("kor_Hang", "ko"),
        ("zh", "zh-Hans"),
        ("zho_Hant", "zh-Hant"),
        ("zho-Hans", "zh-Hans"),
        ("eng", "en"),
        ("aze_Cyrl", "aze-Cyrl"),
        ("reviews", None),
        ("", None),
    ],
)
def test_codes_and_aliases(name: str, code: str | None) -> None:
    assert find_language(name) == code


def test_no_alias_stands_for_two_languages() -> None:
    for code, language in languages().items():
        assert find_language(code) == code
        assert find_language(f"{language.iso639_3}_{language.script}") == code


def test_a_tag_must_be_known() -> None:
    assert language_named("kor") == "ko"
    assert language_named("und") == "und"
    with pytest.raises(InputError, match="'korean' is not a language code"):
        language_named("korean")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("data/ko/news.jsonl.gz", "ko"),
        ("data/ko.txt", "ko"),
        ("data/en/ko.txt", "ko"),  # the name before the folder
        ("data/en/2020/news.txt", "en"),
        ("data/news.txt", None),
    ],
)
def test_language_of_a_file(path: str, code: str | None) -> None:
    assert language_of_file(Path(path), Path("data")) == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("kowiki", "ko"),
        ("kowikinews", "ko"),
        ("enwiktionary", "en"),
        ("nowiki", "nb"),
        ("eowiki", "epo"),
        ("simplewiki", "en"),
        ("zhwiki", "zh-Hans"),
        ("zh_min_nanwiki", "nan"),
        ("zh_classicalwiki", "lzh"),
        ("zh_yuewiki", "yue"),
        ("be_x_oldwiki", "be"),
        ("bat_smgwiki", "sgs"),
        ("roa_rupwiki", "rup"),
        ("fiu_vrowiki", "vro"),
        ("alswiki", "gsw"),
        ("wikidatawiki", None),
        ("commonswiki", None),
    ],
)
def test_language_of_a_dump(name: str, code: str | None) -> None:
    path = Path(f"data/{name}-20240101-pages-articles-multistream.xml.bz2")
    assert language_of_file(path, Path("data")) == code


@pytest.mark.parametrize(
    ("name", "code"),
    [("als", "sq"), ("zh-min-nan", "nan"), ("eo", "epo"), ("yi", "yid"), ("nds-nl", "nds")],
)
def test_codes_of_wikipedias(name: str, code: str) -> None:
    assert find_language(name) == code


def test_folders_above_the_one_given_do_not_count() -> None:
    assert language_of_file(Path("ko/data/news.txt"), Path("ko/data")) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("학교에서 book을 읽었다 123", "ko"),
        ("The word 한국 means Korea", "und"),
        ("123 !?", "und"),
        ("", "und"),
    ],
)
def test_guess(text: str, code: str) -> None:
    assert guess_language(text) == code


@pytest.mark.parametrize(
    ("alias", "code"), [("am", "amh"), ("eo", "epo"), ("km", "khm"), ("ko", "ko"), ("bo", "bod")]
)
def test_codes_of_two_letters_are_known(alias: str, code: str) -> None:
    assert languages()[code].iso639_1 == alias
    assert find_language(alias) == code


def test_languages_without_a_code_of_two_letters_have_none() -> None:
    assert languages()["ace"].iso639_1 is None


def test_signs_that_end_sentences_are_given_for_scripts_of_the_table() -> None:
    assert SENTENCE_ENDERS.keys() <= {language.script for language in languages().values()}


@pytest.mark.corpora
def test_every_language_of_the_corpora_is_known(corpora: Path) -> None:
    rows = (corpora / "multilingual" / "INDEX.tsv").read_text(encoding="utf-8").splitlines()[1:]
    fields = [row.split("\t") for row in rows]
    assert len(fields) > 400
    for key, iso, script, *_ in fields:
        language = languages()[find_language(key) or "unknown"]
        assert (language.iso639_3, language.script) == (iso, script)
