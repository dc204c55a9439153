import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import datasets
import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

import kobert_vocab.reading.tables
from kobert_vocab import InputError, Source, find_sources, read_all
from kobert_vocab.reading import read_documents
from kobert_vocab.reading.problems import refuse
from kobert_vocab.reading.tables import hub_rows

Write = Callable[[str, str | bytes], Path]

TEXTS = ["학교에\n간다", None, "", " ", "집에 온다"]
FOUND = [("학교에\n간다", 1), ("집에 온다", 5)]


def parquet(path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": range(5), "text": TEXTS}), path, **options)
    return path


def found(*inputs: str | Path) -> list[tuple[str, int]]:
    return [(d.text, d.line) for d in read_all(find_sources(inputs), "reading")]


def names_and_times(folder: Path) -> list[tuple[Path, int]]:
    return [(path, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))]


class TestParquet:
    @pytest.mark.parametrize("rows", [1, 2, 5])
    @pytest.mark.parametrize("compression", ["none", "zstd", "snappy"])
    def test_documents_are_rows(self, tmp_path: Path, rows: int, compression: str) -> None:
        path = parquet(tmp_path / "a.parquet", row_group_size=rows, compression=compression)
        assert found(path) == FOUND

    @given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=40))
    def test_any_text_comes_back(
        self, tmp_path_factory: pytest.TempPathFactory, texts: list[str]
    ) -> None:
        path = tmp_path_factory.mktemp("any") / "a.parquet"
        pq.write_table(pa.table({"text": [*texts, "last"]}), path, row_group_size=7)
        kept = [text for text in texts if text.strip()]
        documents = read_documents(Source(path=path, language="ko"))
        assert [document.text for document in documents] == [*kept, "last"]

    @pytest.mark.parametrize(
        "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
    )
    def test_kinds_of_strings(self, tmp_path: Path, kind: pa.DataType) -> None:
        column = pa.array(TEXTS).cast(kind)
        pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
        assert found(tmp_path) == FOUND

    def test_language_comes_from_folder_or_text(self, tmp_path: Path) -> None:
        parquet(tmp_path / "en" / "train-00000-of-00001.parquet")
        parquet(tmp_path / "train-00000-of-00001.parquet")
        assert [source.language for source in find_sources([tmp_path])] == ["en", "ko"]

    def test_the_bar_ends_at_the_bytes_of_the_file(self, tmp_path: Path, bars: list[tqdm]) -> None:
        path = tmp_path / "ko.parquet"
        pq.write_table(pa.table({"text": [*TEXTS, None]}), path)
        places = [bars[0].n for _ in read_all(find_sources([path]), "reading")]
        size = path.stat().st_size
        assert places == [0, size // 6]
        assert [(bar.n, bar.total) for bar in bars] == [(size, size)]

    def test_a_row_group_is_not_held_in_memory(self, tmp_path: Path) -> None:
        texts = pa.table({"text": [f"{row:09}" * 1000 for row in range(10_000)]})  # 90 MB
        options = {"use_dictionary": False, "compression": "none"}
        pq.write_table(texts, tmp_path / "ko.parquet", **options)
        del texts
        before, most = pa.total_allocated_bytes(), 0
        tracemalloc.start()
        for _ in read_all(find_sources([tmp_path]), "reading"):
            most = max(most, pa.total_allocated_bytes() - before)
        most += tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 30_000_000

    def test_no_column_text(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"id": [1], "body": ["x"]}), tmp_path / "ko.parquet")
        with pytest.raises(InputError, match=r"ko\.parquet: no column 'text'; found 'id', 'body'"):
            found(tmp_path)

    def test_column_text_is_no_text(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": [1]}), tmp_path / "ko.parquet")
        with pytest.raises(InputError, match=r"row 1: column 'text' holds int, not strings"):
            found(tmp_path)

    def test_no_row_has_text(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": pa.array([None, " "])}), tmp_path / "ko.parquet")
        with pytest.raises(InputError, match=r"ko\.parquet: no text in this file"):
            found(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"text", b"PAR1" + b"x" * 99 + b"PAR1"])
    def test_not_a_parquet_file(self, write: Write, content: bytes) -> None:
        with pytest.raises(InputError, match=r"ko\.parquet: not a Parquet file, or broken \(.+\)$"):
            found(write("ko.parquet", content))

    def test_broken_page(self, tmp_path: Path) -> None:
        path = parquet(tmp_path / "ko.parquet", use_dictionary=False)
        start = pq.read_metadata(path).row_group(0).column(1).data_page_offset
        content = path.read_bytes()
        path.write_bytes(content[:start] + b"\xff" * 60 + content[start + 60 :])
        with pytest.raises(InputError, match=r"ko\.parquet: not a Parquet file, or broken"):
            found(path)

    def test_bytes_that_are_not_utf_8(self, tmp_path: Path) -> None:
        column = pa.StringArray.from_buffers(
            1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xff")
        )
        pq.write_table(pa.table({"text": column}), tmp_path / "ko.parquet")
        with pytest.raises(InputError, match=r"row 1: not UTF-8"):
            found(tmp_path)

    def test_endless_row(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kobert_vocab.reading.tables, "LONGEST_LINE", 5)
        with pytest.raises(InputError, match=r"row 1: more than 5 characters"):
            found(parquet(tmp_path / "ko.parquet"))


class TestSavedDataSet:
    @pytest.fixture
    def one(self, tmp_path: Path) -> Path:
        folder = tmp_path / "in" / "ko"
        datasets.Dataset.from_dict({"text": TEXTS, "id": range(5)}).save_to_disk(
            folder, num_shards=2
        )
        return folder

    @pytest.fixture
    def splits(self, tmp_path: Path) -> Path:
        folder = tmp_path / "in" / "ko"
        train = datasets.Dataset.from_dict({"text": TEXTS})
        test = datasets.Dataset.from_dict({"text": ["시험"]})
        datasets.DatasetDict({"train": train, "test": test}).save_to_disk(folder)
        return folder

    def test_documents_are_rows_and_nothing_is_written(self, one: Path) -> None:
        before = names_and_times(one)
        assert found(one) == FOUND
        assert names_and_times(one) == before

    def test_it_is_found_among_files(self, one: Path, write: Write) -> None:
        write("in/ja.txt", "x")
        sources = find_sources([one.parent])
        assert [(s.path.name, s.language) for s in sources] == [("ja.txt", "ja"), ("ko", "ko")]
        assert len([*read_all(sources, "reading")]) == 3

    def test_of_several_splits_train_is_read(self, splits: Path) -> None:
        assert found(splits) == found(splits.parent) == FOUND
        assert found(splits / "test") == [("시험", 1)]

    def test_only_rows_that_were_selected(self, tmp_path: Path) -> None:
        data = datasets.Dataset.from_dict({"text": TEXTS}).select([4, 0])
        data.save_to_disk(tmp_path / "ko")
        assert found(tmp_path) == [("집에 온다", 1), ("학교에\n간다", 2)]

    def test_the_bar_ends_at_the_bytes_of_the_folder(self, one: Path, bars: list[tqdm]) -> None:
        size = sum(path.stat().st_size for path in one.iterdir())
        places = [bars[0].n for _ in read_all(find_sources([one]), "reading")]
        assert places == [0, size // 5]
        assert [(bar.n, bar.total) for bar in bars] == [(size, size)]

    def test_no_split_train(self, tmp_path: Path) -> None:
        data = datasets.Dataset.from_dict({"text": TEXTS})
        datasets.DatasetDict({"dev": data, "test": data}).save_to_disk(tmp_path / "ko")
        with pytest.raises(InputError, match=r"no split 'train'; found dev, test: name .*/ko/dev$"):
            found(tmp_path / "ko")

    def test_no_column_text(self, tmp_path: Path) -> None:
        datasets.Dataset.from_dict({"body": TEXTS}).save_to_disk(tmp_path / "ko")
        with pytest.raises(InputError, match=r"ko: no column 'text'; found 'body'"):
            found(tmp_path / "ko")

    @pytest.mark.parametrize("name", ["state.json", "dataset_info.json", "data-00000-of-00002"])
    @pytest.mark.parametrize("content", [b"{}", b"broken"])
    def test_broken(self, one: Path, name: str, content: bytes) -> None:
        (path,) = one.glob(name + "*")
        path.write_bytes(content)
        if (name, content) == ("dataset_info.json", b"{}"):
            assert found(one) == FOUND  # all in it is optional
        else:
            with pytest.raises(InputError, match=r"ko: broken data set \(.+\); save it again$"):
                found(one)

    def test_missing_file(self, one: Path) -> None:
        (one / "data-00000-of-00002.arrow").unlink()
        with pytest.raises(InputError, match=r"ko: broken data set \(.+\); save it again$"):
            found(one)


class TestHub:
    @pytest.fixture(autouse=True)
    def revision(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

        def info(*_: object, **__: object) -> SimpleNamespace:
            return SimpleNamespace(sha="abc")

        monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)

    @pytest.fixture
    def local(self, tmp_path: Path) -> Path:
        """Of the shape of a data set on the hub; `load_dataset` takes either."""
        data = tmp_path / "wikimedia" / "wikipedia"
        parquet(data / "20231101.ko" / "train-00000-of-00001.parquet", row_group_size=2)
        configs = [{"config_name": "20231101.ko", "data_files": "20231101.ko/*"}]
        (data / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
        return data

    @pytest.mark.parametrize(
        ("given", "language", "name", "config"),
        [
            ("wikimedia/wikipedia:20231101.ko", "ko", "wikimedia/wikipedia", "20231101.ko"),
            ("wikipedia:20231101.ko", "ko", "wikimedia/wikipedia", "20231101.ko"),
            ("en=wikipedia:20231101.ko", "en", "wikimedia/wikipedia", "20231101.ko"),
            ("und=o/n:default", "und", "o/n", "default"),
            ("HuggingFaceFW/fineweb-2:kor_Hang", "ko", "HuggingFaceFW/fineweb-2", "kor_Hang"),
        ],
    )
    def test_names(self, given: str, language: str, name: str, config: str) -> None:
        assert find_sources([given]) == [
            Source(path=Path(name), language=language, config=config, revision="abc")
        ]

    def test_what_exists_is_no_name(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write("o/n:ko/a.txt", "x")
        monkeypatch.chdir(tmp_path)
        assert [s.path for s in find_sources(["o/n:ko"])] == [Path("o/n:ko/a.txt")]

    def test_documents_are_rows_and_none_is_kept_on_disk(
        self, local: Path, tmp_path: Path, bars: list[tqdm]
    ) -> None:
        source = Source(path=local, language="ko", config="20231101.ko")
        documents = list(read_all([source], "reading"))
        assert [(d.text, d.line, d.language) for d in documents] == [(*row, "ko") for row in FOUND]
        assert [(bar.n, bar.total) for bar in bars] == [
            (len("".join(filter(None, TEXTS)).encode()), None)
        ]
        assert not [*(tmp_path / "cache").rglob("*.arrow")]

    def test_unknown_config_tells_those_there_are(self, local: Path) -> None:
        with pytest.raises(InputError, match=r":en: cannot be read from the hub \(.*20231101\.ko"):
            list(hub_rows(str(local), "en", None, refuse))

    def test_no_column_text(self, local: Path) -> None:
        (file,) = local.glob("*/*.parquet")
        pq.write_table(pa.table({"body": ["x"]}), file)
        with pytest.raises(InputError, match=r":20231101\.ko: no column 'text'; found 'body'"):
            list(hub_rows(str(local), "20231101.ko", None, refuse))

    def test_broken_file(self, local: Path) -> None:
        (file,) = local.glob("*/*.parquet")
        file.write_bytes(b"broken")
        with pytest.raises(InputError, match="cannot be read from the hub"):
            list(hub_rows(str(local), "20231101.ko", None, refuse))


@pytest.mark.parametrize("given", ["wikipedia:20231101.ko", "ko=owner/name:default"])
def test_offline_is_one_line_at_once(given: str) -> None:
    program = (
        "import sys, kobert_vocab\n"
        "try: kobert_vocab.find_sources(sys.argv[1:])\n"
        "except kobert_vocab.InputError as error: print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, given],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert ran.stdout.count("\n") == 1
    assert "no such file or folder, and the Hugging Face hub cannot be asked" in ran.stdout
    assert ran.stderr == ""


@pytest.mark.parametrize("missing", ["pyarrow", "datasets"])
def test_without_the_extra(tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet(tmp_path / "a" / "ko.parquet")
    datasets.Dataset.from_dict({"text": TEXTS}).save_to_disk(tmp_path / "b" / "ko")
    monkeypatch.setitem(sys.modules, missing, None)
    given = {"pyarrow": ["a"], "datasets": ["b", "wikipedia:20231101.ko"]}[missing]
    for name in given:
        with pytest.raises(
            InputError, match=rf"^this needs {missing}: pip install 'kobert-kit\[hub\]'$"
        ):
            find_sources([name if ":" in name else tmp_path / name])
