"""How a server of ours listens: by uvicorn, with limits, and a warning where others reach it without a key."""

from typing import TYPE_CHECKING

from shared.logging import get_logger

if TYPE_CHECKING:
    from starlette.types import ASGIApp

log = get_logger(__name__)
LOOPBACK = ("127.0.0.1", "::1", "localhost")
MOST_CONNECTIONS = 1000  # beyond them uvicorn answers 503


def warn_where_open(host: str, key: str | None, everybody_may: str, remedy: str = "give it an --api_key") -> None:
    """Say so where others than this machine reach the server and no key is asked for."""
    if host not in LOOPBACK and key is None:
        log.warning("--host %s: whoever reaches this machine may %s, without a key: %s", host, everybody_may, remedy)


def serve(app: "ASGIApp", host: str, port: int, finish_within_s: int) -> None:
    """Answer requests until a signal to stop; then those under way have so many seconds to finish.

    The application logs its requests itself (http_envelope.py).
    """
    import uvicorn

    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=finish_within_s,
    )
