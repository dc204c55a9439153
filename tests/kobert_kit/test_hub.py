"""Models by their name, from a hub that runs in the test."""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlparse

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForMaskedLM

NAME, COMMIT = "klue/tiny-bert", "0123456789" * 4
LOAD = """
import logging, sys
from kobert_kit.encoder import Encoder
from kobert_vocab.errors import InputError
try:
    encoder = Encoder.from_pretrained(sys.argv[1])
except InputError as error:
    print(error)
else:
    print(f"{encoder.embeddings.words.weight.sum():.6f}")
"""


@pytest.fixture(params=["model.safetensors", "pytorch_model.bin"])
def hub(request, tmp_path):
    """Address of a hub with one model, and its folder there."""
    folder = tmp_path / "hub"
    folder.mkdir()
    theirs = BertForMaskedLM(
        BertConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=40,
        )
    )
    theirs.save_pretrained(folder)
    (folder / "code.py").write_text("raise SystemExit('was run')")
    if request.param == "pytorch_model.bin":
        torch.save(load_file(folder / "model.safetensors"), folder / request.param)
        (folder / "model.safetensors").unlink()
    asked = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self):  # the library's name
            path = unquote(urlparse(self.path).path)
            asked.append(path)
            file = folder / path.rpartition("/")[2]
            if path.startswith(f"/api/models/{NAME}/tree/"):
                files = [
                    {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "0" * 40}
                    for f in folder.iterdir()
                ]
                self.answer(json.dumps(files).encode())
            elif path.startswith(f"/api/models/{NAME}"):
                siblings = [{"rfilename": f.name} for f in folder.iterdir()]
                self.answer(json.dumps({"id": NAME, "sha": COMMIT, "siblings": siblings}).encode())
            elif path.startswith(f"/{NAME}/resolve/") and file.exists():
                self.answer(file.read_bytes(), **{"ETag": f'"{file.name}"'})
            else:
                self.answer(b"{}", 404, **{"X-Error-Code": "RepoNotFound"})

        do_HEAD = do_GET

        def answer(self, content, status=200, **headers):
            self.send_response(status)
            headers |= {"Content-Length": str(len(content)), "X-Repo-Commit": COMMIT}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", theirs, asked
    server.shutdown()
    server.server_close()


def load(name, address, cache, **environment):
    ran = subprocess.run(
        [sys.executable, "-c", LOAD, name],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(cache)} | environment,
    )
    return ran.stdout.strip()


def test_a_model_comes_by_its_name_and_stays(hub, tmp_path):
    address, theirs, asked = hub
    expected = f"{theirs.bert.embeddings.word_embeddings.weight.sum():.6f}"
    assert load(NAME, address, tmp_path / "cache") == expected
    assert not any(path.endswith(".py") for path in asked)
    assert load(NAME, address, tmp_path / "cache", HF_HUB_OFFLINE="1") == expected


@pytest.mark.parametrize("hub", ["model.safetensors"], indirect=True)
def test_a_name_that_the_hub_does_not_know(hub, tmp_path):
    address, _, _ = hub
    said = load("klue/nothing", address, tmp_path / "cache")
    assert said == "klue/nothing: no such folder, and no model of the hub"
    said = load("klue/no..thing", address, tmp_path / "cache")
    assert said == "klue/no..thing: no such folder, and no model of the hub"


def test_without_a_hub_one_line_says_so(tmp_path):
    said = load(NAME, "http://127.0.0.1:9", tmp_path / "cache")
    assert said == (
        f"{NAME}: no such folder, and the hub cannot be reached; copy the model here first"
    )


@pytest.mark.parametrize("name", ["no/such/folder", "../model", "~/model", "a b"])
def test_what_is_no_name_is_not_asked_for(name, tmp_path):
    assert load(name, "http://127.0.0.1:9", tmp_path / "cache") == f"{name}: no such folder"
