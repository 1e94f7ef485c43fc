"""Where a model or data set comes from: a local path, then a short name, then the hub cache, then the hub."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from shared.asset_table import ASSETS
from shared.assets import asset_path
from shared.errors import UserError, reason_of

REACH_SECONDS = 5.0
# Weights as safetensors only: other formats would be unpickled, or downloaded for nothing.
WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]


def resolve_model(name: str, *, suggestion: str) -> Path:
    """The folder (or file) that holds the model called `name`.

    `suggestion` is the short name to offer where the hub is out of reach. Raises UserError within 10 seconds then.
    """
    if Path(name).exists():
        return Path(name)
    if name in ASSETS:
        return asset_path(name)
    refuse_malformed(name, suggestion)
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=WANTED, local_files_only=True))
    except LocalEntryNotFoundError as error:
        if not hub_is_reachable():
            raise out_of_reach(name, suggestion) from error
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=WANTED))
    except Exception as error:  # HTTP, connection, JSON and lookup errors, of several libraries
        if isinstance(error, OSError) and error.errno and not isinstance(error, HfHubHTTPError):
            raise  # the disk's fault, not the hub's
        reason = reason_of(error.__cause__ or error)
        raise UserError(f"{name}: the hub refused it ({reason}): check the name, or use {suggestion}") from error


def refuse_malformed(name: str, suggestion: str) -> None:
    """Raise UserError for what can be neither a path that exists nor a hub name (`owner/name`)."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UserError(f"{name}: no such path, short name or hub name: use for example {suggestion}") from error


def out_of_reach(name: str, suggestion: str) -> UserError:
    """The error for a name that only the hub could know, naming the packaged short name to use instead."""
    return UserError(
        f"{name}: not a local path, not in the hub cache, and no hub is in reach: "
        f"use the packaged {suggestion}, or give the path of a downloaded copy"
    )


@contextmanager
def hub_offline() -> Iterator[None]:
    """Let Hugging Face libraries look into their cache only, instead of retrying for half a minute."""
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def hub_is_reachable() -> bool:
    """Whether the hub, or the mirror that HF_ENDPOINT names, accepts a connection within 5 seconds.

    A proxy counts as reachable. HF_HUB_OFFLINE=1 answers no at once.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    address = urlsplit(_proxy(constants.ENDPOINT) or constants.ENDPOINT)
    port = address.port or (80 if address.scheme == "http" else 443)
    answers: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection((address.hostname or "", port), timeout=REACH_SECONDS).close()
            answers.append(True)
        except OSError:
            answers.append(False)

    # In a thread, since a name look-up knows no time limit of its own.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(REACH_SECONDS)
    return bool(answers and answers[0])


def _proxy(endpoint: str) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    address = urlsplit(endpoint)
    proxy = None if proxy_bypass(address.hostname or "") else getproxies().get(address.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"  # the scheme is often left out
