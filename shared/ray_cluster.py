"""A Ray cluster to compute on: one that runs already, or one started on this machine. Needs the extra `scale`."""

import os
from typing import Any

from shared.errors import UserError


def connect(address: str | None, **settings: Any) -> Any:
    """Ray's module, once a cluster answers; `settings` are those of `ray.init`.

    Raises UserError where Ray is not installed, or no cluster answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError("Ray is not installed: run `make setup EXTRAS=scale`") from error
    try:
        ray.init(address=address, log_to_driver=False, **settings)
    except ConnectionError as error:
        raise UserError(f"--address {address}: no Ray cluster answers there: check it, or leave it out") from error
    return ray
