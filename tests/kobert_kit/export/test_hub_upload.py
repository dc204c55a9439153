"""``kobert push``, to a hub that runs in the test."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlparse

import pytest
from huggingface_hub import ModelCard, constants

from kobert_kit.export.hub_upload import model_files
from kobert_vocab.errors import InputError

# The hub's client itself, on the way without the hub's own storage.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

TOKEN = "hf_of_kim"


class State:
    """What the hub has, and what it was asked."""

    def __init__(self):
        self.private = {"lee/theirs": False, "kim/seen": False, "kim/hidden": True}
        self.blobs, self.files, self.asked = {}, {}, []
        self.storage_answers = 200


@pytest.fixture
def hub():
    state = State()

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self):  # the library's name
            path, name = self.begin()
            if path == "/api/whoami-v2":
                known = self.headers["Authorization"] == f"Bearer {TOKEN}"
                self.answer({"name": "kim", "orgs": []}, 200 if known else 401)
            elif name in state.private:
                about = {"id": name, "private": state.private[name], "sha": "0" * 40}
                self.answer(about | {"siblings": []})
            else:
                self.answer({}, 404, **{"X-Error-Code": "RepoNotFound"})

        def do_POST(self):
            path, name = self.begin()
            if path == "/api/repos/create":
                self.create(json.loads(self.body))
            elif path == "/api/validate-yaml":
                odd = "nonsense" in json.loads(self.body)["content"]
                errors = [{"message": '"license" must be one of those known'}] if odd else []
                self.answer({"errors": errors, "warnings": []}, 400 if odd else 200)
            elif not name.startswith("kim/"):
                self.answer({"error": "not yours"}, 403)
            elif "/preupload/" in path:
                self.answer({"files": [self.mode(one) for one in json.loads(self.body)["files"]]})
            elif path.endswith("/info/lfs/objects/batch"):
                self.answer({"objects": [self.place(o) for o in json.loads(self.body)["objects"]]})
            elif "/commit/" in path:
                self.commit(name)
            else:
                self.answer({}, 404)

        def do_PUT(self):
            path, _ = self.begin()
            state.blobs[hashlib.sha256(self.body).hexdigest()] = self.body
            assert path.rpartition("/")[2] in state.blobs
            self.answer({}, state.storage_answers)

        def begin(self):
            """The path, and the model that it names."""
            self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = unquote(urlparse(self.path).path)
            state.asked.append((self.command, path))
            parts = path.removeprefix("/api/models").strip("/").split("/")
            return path, "/".join(parts[:2]).removesuffix(".git")

        def create(self, wanted):
            name = f"{wanted['organization']}/{wanted['name']}"
            if wanted["organization"] != "kim":
                self.answer({"error": "not yours"}, 403)
                return
            state.private[name] = wanted["visibility"] == "private"
            self.answer({"url": f"{address}/{name}", "name": name, "id": "1"})

        def mode(self, file):
            large = file["path"].endswith((".safetensors", ".onnx"))
            mode = "lfs" if large else "regular"
            return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}

        def place(self, thing):
            return thing | {"actions": {"upload": {"href": f"{address}/put/{thing['oid']}"}}}

        def commit(self, name):
            for row in map(json.loads, self.body.splitlines()):
                value = row["value"]
                if row["key"] == "file":
                    state.files[name, value["path"]] = base64.b64decode(value["content"])
                elif row["key"] == "lfsFile":
                    state.files[name, value["path"]] = state.blobs[value["oid"]]
            self.answer({"commitUrl": f"{address}/{name}/commit/1", "commitOid": "1" * 40})

        def answer(self, content, status=200, **headers):
            body = json.dumps(content).encode()
            self.send_response(status)
            for key, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield address, state
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(new_model, card, capsys):
    made = new_model()
    (made / "README.md").write_text(card)
    capsys.readouterr()  # a bar of the library that writes it
    return made


@pytest.fixture
def push(hub, kobert, monkeypatch):
    """Run ``kobert push``; gives exit code, stdout, stderr."""
    address, _ = hub
    # What the hub's own storage speaks is no HTTP that a test could play.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "none")
    return lambda *arguments: kobert("push", *arguments)


def test_a_model_goes_up_whole_and_only_its_owner_sees_it(hub, push, folder, caplog):
    address, state = hub
    (folder / "metrics.jsonl").write_text('{"step": 1}')
    (folder / "modeling.py").write_text("raise SystemExit('was run')")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "model.safetensors").write_bytes(b"0")
    code, out, err = push(folder, "kim/new")
    assert code == 0, err
    assert out == f"private: {address}/kim/new\n"
    assert caplog.messages == ["not uploaded: checkpoints, metrics.jsonl, modeling.py"]
    assert state.private["kim/new"] is True
    went = {path for _, path in state.files}
    assert went == {
        *("README.md", "config.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    for path in went:
        assert state.files["kim/new", path] == (folder / path).read_bytes()


def test_all_see_it_where_that_was_asked_for(hub, push, folder):
    address, state = hub
    code, out, err = push(folder, "open", "--public")  # a name alone is one's own
    assert code == 0, err
    assert out == f"public: {address}/kim/open\n"
    assert state.private["kim/open"] is False


def test_one_that_is_there_stays_seen_by_whom_it_was(hub, push, folder):
    _, state = hub
    assert push(folder, "kim/hidden")[0] == 0
    assert push(folder, "kim/seen", "--public")[0] == 0
    state.files.clear()
    code, out, err = push(folder, "kim/seen")
    assert (code, out) == (2, "")
    assert err == "kobert: kim/seen: there, and public; --public says that you mean it\n"
    assert "there, and private" in push(folder, "kim/hidden", "--public")[2]
    assert not state.files
    assert (state.private["kim/seen"], state.private["kim/hidden"]) == (False, True)


@pytest.fixture
def refuses(hub, push, folder):
    """Push what must be refused in one line, with code 2; gives the line."""
    _, state = hub

    def run(name, *flags):
        code, out, err = push(folder, name, *flags)
        assert (code, out) == (2, ""), err
        assert err.count("\n") == 1
        assert not state.files
        return err.rpartition("kobert: ")[2].rstrip()  # before it there may be a bar

    return run


def test_who_is_not_known(refuses, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    assert refuses("kim/new") == "the hub does not take your token: hf auth login"
    monkeypatch.delenv("HF_TOKEN")
    assert refuses("kim/new") == "not logged in to the hub: hf auth login"


def test_a_large_file_that_does_not_get_there(hub, refuses):
    _, state = hub
    state.storage_answers = 400
    assert refuses("kim/new") == (
        "kim/new: Error while uploading 'model.safetensors' to the Hub. Run the same command again"
    )


def test_without_a_hub(refuses, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert refuses("kim/new").startswith("kim/new: the hub cannot be reached (")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lee/new", "lee/new: you may not write there; take another name, or a token that may"),
        ("lee/theirs", "lee/theirs: there, and public; --public says that you mean it"),
        ("a b", "a b: not a name on the hub; write OWNER/NAME"),
    ],
)
def test_a_name_that_cannot_be_taken(refuses, name, message):
    assert refuses(name).startswith(message)


def test_one_may_not_write_into_what_others_have(refuses):
    assert refuses("lee/theirs", "--public").startswith("lee/theirs: you may not write there")


def test_a_licence_that_the_hub_does_not_know(refuses, folder, card):
    (folder / "README.md").write_text(card.replace("apache-2.0", "nonsense"))
    assert refuses("kim/new").startswith("kim/new: Invalid metadata in README.md.")


@pytest.mark.parametrize(
    ("offline", "message"),
    [
        ("1", "HF_HUB_OFFLINE is set; unset it to upload"),
        ("0", "kim/seen: there, and public; --public says that you mean it"),
    ],
)
def test_a_real_process_says_one_line(hub, folder, offline, message):
    address, state = hub
    settings = {"HF_ENDPOINT": address, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": offline}
    done = subprocess.run(
        [sys.executable, "-m", "kobert_kit", "push", folder, "kim/seen"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | settings,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"kobert: {message}\n"
    assert not state.files


def test_what_is_not_complete_stays(folder, card):
    path = folder / "README.md"
    path.unlink()
    with pytest.raises(InputError, match=r"README\.md: no model card"):
        model_files(folder)
    for head in ("language: ko", "license:", "license: null"):
        path.write_text(f"---\n{head}\n---\n# 모델\n")
        with pytest.raises(InputError, match=r"README\.md: no licence; choose one"):
            model_files(folder)
    path.write_text("# 모델\n")  # no head at all
    with pytest.raises(InputError, match="no licence"):
        model_files(folder)
    path.write_text(card)
    (folder / "model.safetensors").rename(folder / "w")
    with pytest.raises(InputError, match=r"no model\.safetensors and no onnx/model\.onnx"):
        model_files(folder)
    (folder / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(InputError, match="broken"):
        model_files(folder)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="not a model folder"):
        model_files(folder)
    with pytest.raises(InputError, match="no such folder"):
        model_files(folder / "none")


@pytest.mark.parametrize("path", ["/home/kim/model", "C:\\Users\\kim\\model"])
def test_a_path_of_this_machine_does_not_leave_it(folder, path):
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"name_or_path": path, "sep": "/"}))
    with pytest.raises(InputError, match=r"tokenizer_config\.json: name_or_path is the path"):
        model_files(folder)


def test_forms_of_export_go_up_too(folder):
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"graph")
    (folder / "onnx" / "notes.txt").write_text("mine")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "modules.json").write_text("[]")
    (folder / "model.safetensors").unlink()
    assert set(model_files(folder)) == {
        *("README.md", "config.json", "tokenizer.json", "tokenizer_config.json"),
        *("onnx/model.onnx", "modules.json", "1_Pooling/config.json"),
    }


def test_the_card_of_a_run_waits_for_its_licence(short_run):
    config, _ = short_run
    with pytest.raises(InputError, match=r"README\.md: no licence; choose one"):
        model_files(config.out / "model")
    card = ModelCard.load(config.out / "model" / "README.md")
    assert card.data.to_dict().get("license") is None
