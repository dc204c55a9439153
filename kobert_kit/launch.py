"""The other processes of a launch, as torchrun and its like tell of them; before torch is imported.

What goes wrong in one process soon goes wrong in all: they find the same fault, or miss the one
that found it. One of them tells people.
"""

import os
from datetime import timedelta

PATIENCE = timedelta(seconds=5)  # for the store; the one that has it may be the one that died


def is_first() -> bool:
    """Whether this process speaks to people, where there are several."""
    return os.environ.get("RANK", "0") == "0"


def has_others() -> bool:
    """Whether this process is one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first_to_tell() -> bool:
    """Whether no other process of this launch has told people of an error; it then counts as told.

    They ask the store in which the processes find each other. Without it all tell: better twice
    than never.
    """
    host, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if not has_others() or not host or not port:
        return True
    from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]  # its docs do

    launch = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    try:
        store = TCPStore(host, int(port), timeout=PATIENCE, wait_for_workers=False)
        return bool(store.add(f"kobert/told/{launch}", 1) == 1)
    except DistError:
        return True
