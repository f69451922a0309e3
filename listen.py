"""A page in the browser to listen to a generator: new clips, your music changed, a run's samples; on this machine only.

python listen.py --checkpoint checkpoints
python listen.py --checkpoint pretrained/demo --port 7861

A run may be in training meanwhile: every request uses its newest save.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from audio_codecs.options import DECODERS
from command_line import OneSentenceParser
from errors import UserError, printable, reports_user_errors
from runtime.console import outlive_readers
from runtime.cores import sleep_while_waiting
from synthesis.hub import local_folder
from synthesis.loading import find_generator

HOST = "127.0.0.1"
LARGEST_UPLOAD = "200mb"
# The page asks no other machine for anything; this header makes browsers hold to it.
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'"


def _parser() -> argparse.ArgumentParser:
    parser = OneSentenceParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--checkpoint", required=True, help="a run's folder, an exported folder, a checkpoint (.pt), or hf:user/name")
    add("--port", type=int, default=7860, help="the page is at http://127.0.0.1:PORT (default: 7860)")
    add("--decoder", choices=DECODERS, help="from log-mel latents to sound (default: learned)")
    add("--codec_weights", help="EnCodec weights, if their path differs from that in training")
    add("--device", help="cpu or cuda (default: cuda if available)")
    return parser


def _gradio():
    """The package, with everything disabled that would ask other machines."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    for name in ("no_proxy", "NO_PROXY"):  # it asks its own server whether it has started
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST)))
    try:
        import gradio
    except ImportError:
        raise UserError("the page needs the package gradio: pip install -c constraints.txt -e '.[listen]'") from None
    return gradio


class OnlyFromHere:
    """Adds the content security policy to every answer (ASGI)."""

    def __init__(self, app) -> None:
        self._app = app

    async def __call__(self, scope, receive, send) -> None:
        async def with_policy(message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self._app(scope, receive, with_policy)


def run(args: argparse.Namespace) -> int:
    if not 1024 <= args.port <= 65535:
        raise UserError(f"--port {args.port} is not possible: give 1024 to 65535")
    checkpoint = local_folder(args.checkpoint)
    if not (checkpoint / "config.yaml").is_file():  # a run that has just begun has no generator yet
        find_generator(checkpoint)
    gradio = _gradio()
    from kinds.audio.listening import Listener
    from kinds.audio.music import device_of
    from kinds.audio.page import build_page

    device = device_of(args.device)
    with tempfile.TemporaryDirectory(prefix="listen-") as work:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(work) / "cache")
        (Path(work) / "made").mkdir()
        listener = Listener(checkpoint, args.checkpoint, Path(work) / "made", args.codec_weights, args.decoder, device)
        page, style = build_page(gradio, listener, _name_of(args.checkpoint))
        return _serve(page, style, args.port)


def _name_of(checkpoint: str) -> str:
    return printable(Path(checkpoint).name or checkpoint)


def _serve(page, style: dict, port: int) -> int:
    """Until Ctrl-C or SIGTERM."""
    from starlette.middleware import Middleware

    page.queue(default_concurrency_limit=1, max_size=20)
    try:
        page.launch(
            server_name=HOST,
            server_port=port,
            share=False,
            ssr_mode=False,
            quiet=True,
            show_error=True,
            max_file_size=LARGEST_UPLOAD,
            prevent_thread_lock=True,
            footer_links=[],
            app_kwargs={"middleware": [Middleware(OnlyFromHere)]},
            **style,
        )
    except OSError:
        raise UserError(f"port {port} is in use: give another --port") from None
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that files are removed
    print(f"Listen at http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
    try:
        page.block_thread()
    finally:
        page.close(verbose=False)
    return 0


@reports_user_errors("listen.py")
def main(argv: list[str] | None = None) -> int:
    return run(_parser().parse_args(argv))


if __name__ == "__main__":
    outlive_readers()
    sleep_while_waiting()
    sys.exit(main())
