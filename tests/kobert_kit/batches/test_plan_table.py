import pytest

from kobert_kit.batches.options import Phase
from kobert_kit.batches.plan_table import plan_table, read_phases
from kobert_vocab.errors import InputError

PLAN = """
[[phase]]
windows = 100
languages = 2
alpha = 0.7

[[phase]]
windows = 50
languages = ["ko", "en"]
floors = { ko = 0.8 }

[[phase]]
most_epochs = 2.0
windows = 60
"""


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "plan.toml"
        path.write_text(content, encoding="utf-8")
        return path

    return write


def test_phases_are_read(write):
    assert read_phases(write(PLAN)) == [
        Phase(windows=100, languages=2, alpha=0.7),
        Phase(windows=50, languages=("ko", "en"), floors={"ko": 0.8}),
        Phase(windows=60, most_epochs=2.0),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[phase]]\nwindow = 3\n", "no setting 'window' .* did you mean 'windows'"),
        ("[phase]\nalpha = 1\n", r"\[\[phase\]\] tables and nothing else"),
        ("alpha = 1\n", r"\[\[phase\]\] tables and nothing else"),
        ("[[phase]\n", "not TOML"),
        ("[[phase]]\nalpha = 3\n", "alpha is 3"),
    ],
)
def test_a_plan_that_cannot_be_read(write, content, message):
    with pytest.raises(InputError, match=message):
        read_phases(write(content))


def test_a_plan_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_phases(tmp_path / "none.toml")


def rows_of(table):
    lines = table.splitlines()
    return {line.split()[0]: line.split() for line in lines[1:] if line[0].islower()}


def test_what_is_read_adds_up(corpus, write):
    table = plan_table(corpus.manifest, read_phases(write(PLAN)), 64)
    rows = rows_of(table)
    assert set(rows) == set(corpus.shards)
    assert sum(int(row[6].replace(",", "")) for row in rows.values()) == 64 * 210
    for code, row in rows.items():
        tokens = corpus.manifest.languages[code].tokens
        assert int(row[1].replace(",", "")) == tokens
        epochs = int(row[6].replace(",", "")) / tokens
        assert float(row[7]) == pytest.approx(epochs, abs=0.006)


def test_reading_too_often_is_warned_of(corpus):
    often = plan_table(corpus.manifest, [Phase(alpha=0, windows=100_000)], 64)
    assert "! read more than 40 times" in often
    assert "  !" in often
    assert "!" not in plan_table(corpus.manifest, [Phase(alpha=1)], 64)


def test_a_plan_without_an_end_reads_the_text_once(corpus):
    rows = rows_of(plan_table(corpus.manifest, [Phase(alpha=1)], 16))
    assert float(rows["ko"][5]) == pytest.approx(1, abs=0.02)


def test_unimax_without_an_end_has_the_text_to_share(corpus):
    rows = rows_of(plan_table(corpus.manifest, [Phase(most_epochs=1.5)], 16))
    assert all(float(row[5]) < 1.6 for row in rows.values())
