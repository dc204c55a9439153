"""The kernels as a project for the hub: built as the builder builds it, loaded beside our own."""

import ast
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec

import jinja2
import pytest
import torch

import kobert_kernels
from kobert_kit.export.kernels_repository import export_kernels
from kobert_vocab.errors import InputError

ID = "_kobert_kernels_cpu_0123abc"
# In place of the file that the builder writes; what it offers is in its documentation.
OPS = f'''
import torch

ops = torch.ops.{ID}

def add_op_namespace_prefix(op_name):
    return "{ID}::" + op_name
'''
# Ours imported first, then the other; the forward and backward pass of one op by the kernels of
# both, with dropout.
BOTH = """
import importlib.util, sys, torch
from torch.utils._python_dispatch import TorchDispatchMode
import kobert_kernels
{load}
assert other is not kobert_kernels
class Seen(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace != "aten":
            called.add(func.namespace)
        return func(*args, **(kwargs or {{}}))
results = []
for package in (kobert_kernels, other):
    generator = torch.Generator().manual_seed(0)
    x, residual = (torch.randn(5, 48, generator=generator, requires_grad=True) for _ in range(2))
    weight, bias = torch.rand(48, generator=generator), torch.rand(48, generator=generator)
    called = set()
    with package.use(layer_norm="triton"), Seen():
        y = package.layer_norm(
            x, weight, bias, residual=residual, dropout=0.3, seed=torch.tensor([7])
        )
        y.square().sum().backward()
    results.append((y.detach(), x.grad, residual.grad))
    print(*called)
for ours, theirs in zip(*results):
    assert torch.equal(ours, theirs)
"""
BY_NAME = """
spec = importlib.util.spec_from_file_location("{id}", "{folder}/__init__.py")
other = importlib.util.module_from_spec(spec)
sys.modules["{id}"] = other
spec.loader.exec_module(other)
"""
BY_THE_LIBRARY = """
from pathlib import Path
from kernels import get_local_kernel
other = get_local_kernel(Path("{project}"), backend="cpu")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    out = tmp_path_factory.mktemp("kernels") / "project"
    export_kernels(out, repository="kim/kobert-kernels")
    return out


@pytest.fixture(scope="module")
def built(project):
    """``build/torch-cpu``, as the builder makes it of a project that needs no compiling."""
    variant = project / "build" / "torch-cpu"
    shutil.copytree(project / "torch-ext" / "kobert_kernels", variant)
    (variant / "_ops.py").write_text(OPS)
    digests = {
        path.relative_to(variant).as_posix(): base64.b64encode(
            hashlib.sha256(path.read_bytes()).digest()
        ).decode()
        for path in sorted(variant.rglob("*"))
        if path.is_file()
    }
    about = {
        "id": ID,
        "name": "kobert-kernels",
        "version": 0,
        "license": "Apache-2.0",
        "python-depends": [],
        "backend": {"type": "cpu"},
        "digest": {"algorithm": "sha256", "files": digests},
    }
    (variant / "metadata.json").write_text(json.dumps(about))
    return variant


def python(code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"TRITON_INTERPRET": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_it_lives_beside_ours_under_another_name_and_gives_the_same_bits(built):
    load = BY_NAME.format(id=ID, folder=built)
    assert python(BOTH.format(load=load, id=ID)) == ["kobert", ID]


def test_the_library_of_the_hub_loads_it(built, project):
    # Our folder of that name is no package, so that this finds the library alone.
    if find_spec("kernels") is None or find_spec("kernels").origin is None:
        pytest.skip("needs Hugging Face's library: pip install kernels")
    load = BY_THE_LIBRARY.format(project=project)
    assert python(BOTH.format(load=load, id=ID)) == ["kobert", ID]


def test_a_second_build_and_ours_have_no_operator_in_common(built):
    # All operators, not only that of the op above.
    names = [name for name in dir(torch.ops.kobert) if name.endswith(("_fwd", "_bwd"))]
    assert {"layer_norm_fwd", "attention_bwd"} <= set(names)
    code = BY_NAME.format(id=ID, folder=built)
    listed = python(
        f"import importlib.util, sys, torch\n{code}\n"
        f"print(*(n for n in {names} if hasattr(torch.ops.{ID}, n)))\n"
        "print('kobert' if hasattr(torch.ops.kobert, 'layer_norm_fwd') else 'none')"
    )
    assert listed == [*names, "none"]


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


def test_it_imports_itself_by_relative_names_and_else_torch_and_triton_alone(project):
    # flash_attn: only where it is installed, as one more implementation.
    allowed = {*sys.stdlib_module_names, "torch", "triton", "flash_attn"}
    files = list((project / "torch-ext").rglob("*.py"))
    assert len(files) > 15
    for path in files:
        assert set(imports_of(path)) <= allowed, path.name


def test_the_files_are_those_of_a_project(project):
    build = tomllib.loads((project / "build.toml").read_text())
    assert build["general"]["edition"] == 5
    assert build["general"]["hub"]["repo-id"] == "kim/kobert-kernels"
    assert set(build["torch-noarch"]["pyext"]) == {"py", "json"}
    package = project / "torch-ext" / build["general"]["name"].replace("-", "_")
    assert (package / "__init__.py").exists()
    assert (package / "launches.json").exists()
    assert (package / "cases" / "case.py").exists()
    suffixes = {path.suffix for path in package.rglob("*") if path.is_file()}
    assert suffixes <= {f".{one}" for one in build["torch-noarch"]["pyext"]}
    # Written by the builder; one that is there already would stay.
    assert not (package / "_ops.py").exists()
    for name in ("audit", "bench.py", "peers.py", "tune.py", "__pycache__"):
        assert not (package / name).exists()
    assert "genKernelFlakeOutputs" in (project / "flake.nix").read_text()
    assert 'get_kernel("kim/kobert-kernels"' in (project / "tests" / "test_parity.py").read_text()


def test_the_card_fills_in(project):
    # As the builder renders it.
    card = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined).from_string(
        (project / "CARD.md").read_text()
    )
    text = card.render(
        license="apache-2.0",
        repo_id="kim/kobert-kernels",
        version=0,
        functions=kobert_kernels.__all__,
    )
    assert 'get_kernel("kim/kobert-kernels", version=0' in text
    assert "- `attention`\n- `attention_packed`\n" in text
    assert "not run on a GPU" in text


def test_without_a_name_its_place_waits_to_be_filled_in(tmp_path):
    export_kernels(tmp_path / "out")
    text = (tmp_path / "out" / "build.toml").read_text()
    assert "hub" not in tomllib.loads(text)["general"]
    assert '# repo-id = "OWNER/kobert-kernels"' in text


def test_a_name_that_is_none_and_a_folder_that_is_there(tmp_path):
    with pytest.raises(InputError, match="repository is 'kernels'; write OWNER/NAME"):
        export_kernels(tmp_path / "out", repository="kernels")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("가")
    with pytest.raises(InputError, match="already there"):
        export_kernels(tmp_path / "full")
    assert {path.name for path in tmp_path.iterdir()} == {"full"}


@pytest.mark.slow
def test_its_own_tests_pass_in_the_interpreter(built, project):
    if find_spec("kernels") is None or find_spec("kernels").origin is None:
        pytest.skip("needs Hugging Face's library: pip install kernels")
    (project / "pytest.ini").write_text("[pytest]\nmarkers = kernels_ci: quick\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "bias_gelu", "tests"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {"TRITON_INTERPRET": "1", "LOCAL_KERNELS": f"kim/kobert-kernels={project}"},
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
