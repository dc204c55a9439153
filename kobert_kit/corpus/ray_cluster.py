"""The Ray cluster that this process works on: joined or started, and quiet."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from kobert_vocab.errors import InputError

RETRIES = 3  # after a worker's death, as of Ray's tasks; those of Ray Data are repeated for ever

# Read by Ray when it is imported.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent; so does `ray.init`, of what it starts
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # no words of worker processes on standard output
    "RAY_task_oom_retries": str(RETRIES),  # else for ever what needs more memory than there is
}


@contextmanager
def ray_cluster(workers: int) -> Iterator[None]:
    """Inside the block this process has joined a Ray, which prints nothing and sends nothing home.

    That is the one it has joined before, or the one that the environment variable ``RAY_ADDRESS``
    names, or one that is started here with ``workers`` CPUs and ends with the block.

    Raises:
        InputError: Ray is not installed or does not answer; ``workers`` are given to one that runs.
    """
    os.environ.update(ENVIRONMENT)
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise InputError(f"--ray needs {error.name}: pip install 'kobert-kit[ray]'") from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # it logs at length what it raises
    address = os.environ.get("RAY_ADDRESS")
    joined = ray.is_initialized()
    if workers > 1 and (joined or address):
        raise InputError(
            "--workers are for a Ray that is started here, and this one runs already: leave them "
            "out, or unset RAY_ADDRESS"
        )
    if joined:
        yield
        return
    try:
        _join(address, workers)
        yield
    finally:
        ray.shutdown()


def _join(address: str | None, workers: int) -> None:
    import ray

    join = partial(ray.init, log_to_driver=False, logging_level=logging.ERROR)
    if not address:
        join("local", num_cpus=workers, include_dashboard=False)
        return
    try:
        host, colon, port = address.removeprefix("ray://").rpartition(":")
        if colon:  # Ray itself tries for minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        join(address)
    except (OSError, ValueError) as error:
        raise InputError(
            f"RAY_ADDRESS={address}: no Ray cluster answers; give the HOST:PORT of its head"
        ) from error
