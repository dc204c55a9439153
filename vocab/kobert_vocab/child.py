"""Work done in a process of its own.

SentencePiece can abort the process it runs in, and the memory that it or an analyser took comes
back for certain only when that process ends.
"""

import json
import subprocess
import sys
from pathlib import Path

# Ctrl-C reaches both processes; the child's traceback would say nothing. -P: no module is found in
# the folder that the work is done in.
_CHILD = """
import importlib, json, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
call = json.load(sys.stdin)
try:
    getattr(importlib.import_module(call["module"]), call["function"])(**call["arguments"])
except OSError as error:  # a full disk
    sys.exit(f"{error.strerror}: {error.filename}" if error.filename else str(error))
"""


class ChildError(Exception):
    """The child process failed; its last lines are the message."""


def run_in_child(
    module: str,
    function: str,
    arguments: dict[str, object],
    *,
    folder: Path | None = None,
    log: Path | None = None,
) -> None:
    """Call a module's function in a child process.

    Args:
        module: where the function is.
        function: its name.
        arguments: by name, as JSON takes them.
        folder: where the process stands; by default where this one does.
        log: file for what it prints, which otherwise goes where ours does: a progress bar.

    Raises:
        ChildError: it raised an exception or died; the message has the end of its log.
    """
    call = json.dumps({"module": module, "function": function, "arguments": arguments})
    command = [sys.executable, "-P", "-c", _CHILD]
    if log is None:
        code = subprocess.run(command, cwd=folder, input=call.encode()).returncode
        if code:
            raise ChildError(f"{module}.{function} ended with {code}")
        return
    with log.open("wb") as sink:
        code = subprocess.run(
            command, cwd=folder, input=call.encode(), stdout=sink, stderr=sink
        ).returncode
    if code:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        raise ChildError("\n".join([f"{module}.{function} ended with {code}:", *last]))
